/** Programs as hooks. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCli, temporaryDirectory } from '../cli-support.ts'
import { startServer } from '../support/server.ts'
import { all, create, head, idOf, metadata, patch, post, remove, upload } from './client.ts'
import type { Hook } from './receiver.ts'

function program(folder: string, type: string, script: string): void {
  writeFileSync(join(folder, type), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, type), 0o755)
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > end) throw new Error('Not in time')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('a program for each event: JSON on stdin, its answer on stdout, TUS_ variables, and its own folder', async () => {
  using directory = temporaryDirectory()
  const folder = directory.path
  const log = join(folder, 'log')
  for (const type of all.split(',')) {
    program(
      folder,
      type,
      `cat > ${type}.json; echo "$TUS_ID $TUS_SIZE $TUS_OFFSET $PWD" > ${type}.env; echo ${type} >> log`,
    )
  }
  program(
    folder,
    'pre-create',
    `cat /dev/stdin > pre-create.json; echo "$TUS_ID $TUS_SIZE $TUS_OFFSET $PWD" > pre-create.env; echo pre-create >> log
     echo '{"ChangeFileInfo":{"ID":"from-program"}}' > /dev/stdout; echo seen by a program >&2`,
  )
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  const hookOf = (type: string) => JSON.parse(read(`${type}.json`)) as Hook
  await using server = await startServer({
    env: { FILELOFT_HOOKS_DIR: folder, FILELOFT_HOOKS_EVENTS: all },
  })
  const location = await create(server.url, 5, { 'Upload-Metadata': metadata({ filename: 'a.txt' }) })
  assert.equal(idOf(location), 'from-program')
  assert.equal(hookOf('pre-create').Type, 'pre-create')
  assert.equal((await patch(location, 0, 'hello')).status, 204)
  await until(() => existsSync(join(folder, 'post-finish.env')))
  assert.equal((await remove(location)).status, 204)
  await until(() => existsSync(join(folder, 'post-terminate.env')))
  assert.equal(read('pre-create.env'), ` 5 0 ${folder}\n`)
  for (const [type, offset] of [
    ['post-create', 0],
    ['pre-finish', 5],
    ['post-finish', 5],
    ['post-terminate', 5],
  ] as const) {
    assert.equal(read(`${type}.env`), `from-program 5 ${offset} ${folder}\n`)
    const hook = hookOf(type)
    assert.deepEqual(
      [hook.Type, hook.Event.Upload.ID, hook.Event.Upload.MetaData],
      [type, 'from-program', { filename: 'a.txt' }],
    )
  }
  const order = readFileSync(log, 'utf8')
    .split('\n')
    .filter((type) => type !== 'post-receive' && type !== '')
  assert.deepEqual(order, ['pre-create', 'post-create', 'pre-finish', 'post-finish', 'pre-terminate', 'post-terminate'])
  await server.wrote('seen by a program')
})

test('exit codes: not 0 is a failure, answered 500; an answer rejects; a missing program lets everything pass', async () => {
  using directory = temporaryDirectory()
  const folder = directory.path
  await using server = await startServer({ env: { FILELOFT_HOOKS_DIR: folder, FILELOFT_HOOKS_EVENTS: all } })
  await upload(server.url, 'hello')

  program(folder, 'pre-create', 'exit 3')
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
  await server.logged(({ err }) => /pre-create at .* failed: it ended with exit code 3/.test(JSON.stringify(err ?? '')))
  program(folder, 'pre-create', `echo '{"RejectUpload":true,"HTTPResponse":{"StatusCode":403,"Body":"no"}}'`)
  const refused = await post(server.url, { 'Upload-Length': '5' })
  assert.deepEqual([refused.status, await refused.text()], [403, 'no'])
  program(folder, 'pre-create', 'echo nonsense')
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
  // Even one that reads nothing, of more than a pipe holds.
  program(folder, 'pre-create', 'exit 0')
  assert.equal((await post(server.url, { 'Upload-Length': '5', 'X-Long': 'x'.repeat(60_000) })).status, 201)
  writeFileSync(join(folder, 'pre-create'), 'exit 0')
  chmodSync(join(folder, 'pre-create'), 0o644)
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
  rmSync(join(folder, 'pre-create'))
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 201)
})

test('a program that takes too long is killed with what it has started, and an upload can be finished later', async () => {
  using directory = temporaryDirectory()
  const folder = directory.path
  await using server = await startServer({
    env: { FILELOFT_HOOKS_DIR: folder, FILELOFT_HOOKS_EVENTS: all, FILELOFT_HOOKS_TIMEOUT: '0.5' },
  })
  program(folder, 'pre-finish', 'sleep 1000 & echo $! > pid; wait')
  const location = await create(server.url, 5)
  assert.equal((await patch(location, 0, 'hello')).status, 500)
  const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'))
  await until(() => !isAlive(pid))
  rmSync(join(folder, 'pre-finish'))
  assert.equal((await head(location)).status, 200)
})

test('post- programs that fail are run again, also after kill -9', async () => {
  using directory = temporaryDirectory()
  const folder = directory.path
  await using server = await startServer({ env: { FILELOFT_HOOKS_DIR: folder, FILELOFT_HOOKS_EVENTS: 'post-finish' } })
  program(folder, 'post-finish', 'echo run >> runs; exit 1')
  const location = await upload(server.url, 'hello')
  await server.logged(({ msg, reason }) => msg === 'hook not delivered' && reason === 'it ended with exit code 1')
  await server.stop('SIGKILL')
  program(folder, 'post-finish', 'cat > done.tmp && mv done.tmp done')
  await server.restart()
  await until(() => existsSync(join(folder, 'done')))
  const hook = JSON.parse(readFileSync(join(folder, 'done'), 'utf8')) as Hook
  assert.equal(hook.Event.Upload.ID, idOf(location))
})

test('a folder of hooks that is none stops the start, and fails the check', async () => {
  using directory = temporaryDirectory()
  mkdirSync(join(directory.path, 'data'))
  const env = { FILELOFT_DATA_DIR: join(directory.path, 'data'), FILELOFT_HOOKS_DIR: join(directory.path, 'nope') }
  for (const args of [[], ['check']]) {
    const { code, stderr } = await runCli(args, { FILELOFT_BIND: '127.0.0.1:0', ...env })
    assert.deepEqual(
      [code, stderr],
      [1, `fileloft: The hooks cannot be run: ${env.FILELOFT_HOOKS_DIR} is no directory\n`],
    )
  }
  const both = await runCli(['check'], { ...env, FILELOFT_HOOKS_URL: 'http://localhost:1/' })
  assert.deepEqual(
    [both.code, both.stderr],
    [2, 'fileloft: FILELOFT_HOOKS_URL and FILELOFT_HOOKS_DIR cannot both be set\n'],
  )
})

/** A zombie has ended: only nobody has asked for its exit code. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

test('a program that leaves a child in another session behind: the timeout ends the wait for its output', async () => {
  using directory = temporaryDirectory()
  program(directory.path, 'pre-create', `setsid sleep 60 & echo $! > pid; exit 0`)
  await using server = await startServer({
    env: { FILELOFT_HOOKS_DIR: directory.path, FILELOFT_HOOKS_TIMEOUT: '1', FILELOFT_HOOKS_RETRIES: '0' },
  })
  const since = performance.now()
  try {
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
    assert.ok(performance.now() - since < 10_000, 'it was waited for')
  } finally {
    process.kill(Number(readFileSync(join(directory.path, 'pid'), 'utf8')), 'SIGKILL')
  }
})
