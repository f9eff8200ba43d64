/** The release script, in a clone of its own, with stand-ins for all that would reach the outside. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryDirectory } from './cli-support.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const run = promisify(execFile)
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const fakes = { npm: fakeNpm(), docker: '', make: '', deno: '' }

/** Says what it would publish, as npm does, and nothing else. */
function fakeNpm(): string {
  return `[ "$1" = pack ] && echo '[{"files":[{"path":"dist/index.js","size":5}],"size":1000,"unpackedSize":2000}]'`
}

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** What git knows of this checkout, as a repository with one commit, and `package.json`'s programs. */
async function clone() {
  const folder = temporaryDirectory()
  const path = join(folder.path, 'clone')
  const calls = join(folder.path, 'calls')
  const bin = join(folder.path, 'bin')
  mkdirSync(path)
  mkdirSync(bin)
  writeFileSync(calls, '')
  const { stdout: files } = await run('git', ['ls-files', '-co', '--exclude-standard', '-z'], { cwd: root })
  for (const file of files.split('\0').filter((each) => /^(\.changeset|scripts)\/|^[^/]+$/.test(each))) {
    if (file !== 'node_modules') cpSync(join(root, file), join(path, file))
  }
  for (const [name, script] of Object.entries(fakes)) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>"${calls}"\n${script}\nexit 0\n`)
    chmodSync(join(bin, name), 0o755)
  }
  mkdirSync(join(path, 'node_modules/.bin'), { recursive: true })
  symlinkSync(join(bin, 'deno'), join(path, 'node_modules/.bin/deno'))
  for (const name of ['prettier', '.bin/prettier']) {
    symlinkSync(join(root, 'node_modules', name), join(path, 'node_modules', name))
  }
  const author = ['-c', 'user.name=Nobody', '-c', 'user.email=nobody@example.com']
  const git = (...args: string[]) => run('git', [...author, ...args], { cwd: path })
  await git('init', '-q', '-b', 'main')
  const commit = async () => {
    await git('add', '--all')
    await git('commit', '-q', '--allow-empty', '-m', 'Everything')
  }
  await commit()
  const outcome = (command: string, args: string[], PATH: string): Promise<Outcome> =>
    run(command, args, { cwd: path, env: { ...process.env, PATH, IMAGE: 'registry.example.com/fileloft' } }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: unknown) => error as Outcome,
    )
  return {
    path,
    git,
    commit,
    calls: () => readFileSync(calls, 'utf8').trim().split('\n'),
    release: (...args: string[]) =>
      outcome(process.execPath, ['scripts/release.ts', ...args], `${bin}:${process.env['PATH']}`),
    version: () => outcome('npm', ['run', 'release:version'], `${root}node_modules/.bin:${process.env['PATH']}`),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  }
}

/** As it is before a release. */
async function readyClone() {
  const repository = await clone()
  const changelog = join(repository.path, 'CHANGELOG.md')
  const heading = new RegExp(`^## ${version.replaceAll('.', '\\.')}.*$`, 'm')
  writeFileSync(changelog, readFileSync(changelog, 'utf8').replace(heading, `## ${version}`))
  await repository.commit()
  await repository.git('tag', `v${version}`)
  return repository
}

const images = ['fs', `${version}-fs`, 'latest', version]
  .concat(['s3', 'gcs', 'azure'].flatMap((backend) => [backend, `${version}-${backend}`]))
  .map((tag) => `registry.example.com/fileloft:${tag}`)

test('release, a file that is not committed: refused, also as a dry run, and nothing was asked of anybody', async () => {
  using repository = await readyClone()
  writeFileSync(join(repository.path, 'notes.txt'), '')
  for (const args of [[], ['--dry-run']]) {
    const { code, stderr } = await repository.release(...args)
    assert.equal(code, 1)
    assert.match(stderr, /not committed:\n\?\? notes\.txt/)
  }
  assert.deepEqual(repository.calls(), [''])
})

test('release --dry-run: tells files, images and what is missing, and publishes nothing', async () => {
  using repository = await clone()
  writeFileSync(join(repository.path, '.changeset/tape.md'), '---\nfileloft: minor\n---\n\nA store on tape.\n')
  await repository.commit()
  const { code, stdout, stderr } = await repository.release('--dry-run')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /not ready: changesets wait \(tape\.md\)/)
  assert.match(stdout, /not ready: HEAD has no tag v/)
  assert.match(stdout, /npm: 1 files, 1 kB packed, 2 kB unpacked\n {2}dist\/index\.js 5\n/)
  for (const image of images) assert.ok(stdout.includes(`  ${image}\n`), `${image} is not told`)
  assert.deepEqual(repository.calls(), ['npm pack --dry-run --json', 'deno publish --dry-run'])
})

test('release, no tag at HEAD: refused before anything is published', async () => {
  using repository = await readyClone()
  await repository.git('tag', '-d', `v${version}`)
  const { code, stderr } = await repository.release()
  assert.deepEqual([code, stderr], [1, `HEAD has no tag v${version}\n`])
  assert.deepEqual(repository.calls(), [''])
})

test('release, all in order: npm, JSR, then every image under its tags', async () => {
  using repository = await readyClone()
  const { code, stderr } = await repository.release()
  assert.equal(code, 0, stderr)
  const calls = repository.calls()
  assert.deepEqual(calls.slice(0, 4), [
    'npm pack --dry-run --json',
    'npm publish',
    'deno publish',
    'make docker-build-all IMAGE=registry.example.com/fileloft',
  ])
  const pushed = calls.flatMap((call) => (call.startsWith('docker push ') ? [call.slice('docker push '.length)] : []))
  assert.deepEqual(pushed, images)
  const tagged = calls.filter((call) => call.startsWith('docker tag '))
  assert.ok(tagged.includes(`docker tag ${images[0]} registry.example.com/fileloft:${version}`), tagged.join('\n'))
})

test('release:version: changesets become an entry of CHANGELOG.md, and all files name the new version', async () => {
  using repository = await clone()
  writeFileSync(join(repository.path, '.changeset/tape.md'), '---\nfileloft: minor\n---\n\nA store on tape.\n')
  await repository.commit()
  const read = (file: string) => readFileSync(join(repository.path, file), 'utf8')
  const files = ['package.json', 'deno.json', 'package-lock.json']
  const before = files.map(read)
  const { code, stdout, stderr } = await repository.version()
  assert.equal(code, 0, stdout + stderr)
  const [major, minor] = version.split('.')
  const next = `${major}.${Number(minor) + 1}.0`
  for (const [index, file] of files.entries()) {
    const json = JSON.parse(read(file)) as { version: string; packages?: Record<string, { version?: string }> }
    assert.equal(json.version, next, file)
    assert.equal(json.packages?.['']?.version ?? next, next, file)
    // Nothing else in them has changed.
    const without = (text = '') => text.replaceAll(`"version": "${next}"`, `"version": "${version}"`)
    assert.equal(without(read(file)), without(before[index]))
  }
  const changelog = read('CHANGELOG.md')
  assert.ok(
    changelog.startsWith(`# Changelog\n\n## ${next}\n\n### Minor Changes\n\n- A store on tape.\n\n## ${version}`),
  )
})
