/** Flags and commands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCommandLine } from '../src/node/config.ts'
import { hooks, problemsOf, read } from './node-config-support.ts'

test('a flag wins over its variable; a switch needs no value and can be switched off', () => {
  const environment = { FILELOFT_MAX_SIZE: '1', FILELOFT_ENABLE_DOWNLOAD: 'true' }
  assert.equal(read(environment, ['--max-size', '2']).maxSize, 2)
  assert.equal(read({}, ['--enable-download']).enableDownload, true)
  assert.equal(read(environment, ['--enable-download=false']).enableDownload, false)
})

test('an unknown variable or flag is refused with the nearest one that is known', () => {
  assert.deepEqual(problemsOf({ FILELOFT_MAX_SIZ: '1', OTHER: '1' }), [
    'FILELOFT_MAX_SIZ is no variable of fileloft; FILELOFT_MAX_SIZE may be meant',
  ])
  assert.deepEqual(problemsOf({ FILELOFT_S3_BUCKET_NAME_XYZ: 'secret' }), [
    'FILELOFT_S3_BUCKET_NAME_XYZ is no variable of fileloft',
  ])
  assert.deepEqual(problemsOf({}, ['--max-szie=1']), ['--max-szie is no flag of fileloft; --max-size may be meant'])
  assert.deepEqual(problemsOf({}, ['--port=8081']), ['--port is no flag of fileloft; --bind may be meant'])
  assert.deepEqual(problemsOf({}, ['chekc']), ['"chekc" is no command; check may be meant'])
  assert.deepEqual(problemsOf({}, ['check', 'more']), ['"more" is one word too many'])
  assert.deepEqual(problemsOf({}, ['--max-size', '--enable-download']), ['--max-size needs a value'])
  assert.deepEqual(problemsOf({}, ['--max-size=1', '--max-size=2']), ['--max-size is given twice'])
})

test('all problems are told at once', () => {
  const problems = problemsOf({ FILELOFT_BIND: 'x', FILELOFT_MAX_SIZE: 'y', FILELOFT_TLS_CERT: 'c' }, ['--nope'])
  assert.equal(problems.length, 4, problems.join('\n'))
})

test('the command hooks takes replay with ids or --all, and nothing else', () => {
  const replayOf = (...args: string[]) => readCommandLine(['hooks', ...args], hooks).replay
  assert.equal(replayOf(), null)
  assert.deepEqual(replayOf('replay', 'a', 'b'), ['a', 'b'])
  assert.equal(replayOf('replay', '--all'), 'all')
  assert.deepEqual(problemsOf(hooks, ['hooks', 'replya']), ['"replya" is no command of hooks; replay may be meant'])
  for (const args of [['replay'], ['replay', 'a', '--all']]) {
    assert.deepEqual(problemsOf(hooks, ['hooks', ...args]), ['replay needs the ids of events, or --all'])
  }
  for (const args of [
    ['hooks', '--all'],
    ['sweep', '--all'],
  ]) {
    assert.deepEqual(problemsOf(hooks, args), ['--all is for `fileloft hooks replay`'])
  }
  assert.deepEqual(problemsOf({}, ['hooks', 'replay', '--all']), [
    'replay needs FILELOFT_HOOKS_URL or FILELOFT_HOOKS_DIR',
  ])
})
