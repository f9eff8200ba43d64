/** What the command does besides serving, and what it says when it cannot. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFiles } from '../src/node/storage-fs.ts'
import { readCommandLine } from '../src/node/config.ts'
import { cli, createUpload, runCli, startCli, temporaryDirectory } from './cli-support.ts'
import { listen } from './node-support.ts'

test('what cannot be listened on or stored in is told in one line, exit code 1', async () => {
  using directory = temporaryDirectory()
  await using blocker = createServer()
  const port = await listen(blocker)
  const file = join(directory.path, 'file')
  writeFileSync(file, '')
  const data = ['--data-dir', join(directory.path, 'data')]
  for (const [args, expected] of [
    [[...data, '--bind', `127.0.0.1:${port}`], `Cannot listen on 127.0.0.1:${port}: another process listens there`],
    [[...data, '--bind', '192.0.2.1:80'], 'Cannot listen on 192.0.2.1:80: this machine has no such address'],
    [[...data, '--unix-socket', file], `Cannot listen on ${file}: there is a file of that name which is no socket`],
    [[...data, '--unix-socket', '/nonexistent/s'], 'Cannot listen on /nonexistent/s: there is no such directory'],
    [[...data, '--tls-cert', '/none.crt', '--tls-key', '/none.key'], '/none.crt cannot be read'],
    [['--data-dir', join(file, 'below'), '--bind', '127.0.0.1:0'], join(file, 'below')],
  ] as const) {
    const { code, stderr, stdout } = await runCli([...args])
    assert.equal(code, 1, stderr)
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    assert.ok(stderr.includes(expected), `${stderr} lacks ${expected}`)
    assert.equal(stdout, '')
  }
})

test('a wrong configuration stops every command with exit code 2 and all problems, one a line', async () => {
  for (const command of ['serve', 'check', 'sweep']) {
    const { code, stderr, stdout } = await runCli([command, '--max-size=lots'], { FILELOFT_BINDD: 'x' })
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      'fileloft: FILELOFT_BINDD is no variable of fileloft; FILELOFT_BIND may be meant',
      'fileloft: --max-size is "lots"; it must be bytes, or a size such as 10GiB, 500MB or 64KiB',
    ])
  }
})

test('check tells whether configuration and store are fine: exit codes 0 and 1', async () => {
  using directory = temporaryDirectory()
  const good = await runCli(['check', '--data-dir', directory.path])
  assert.equal(good.code, 0)
  assert.match(good.stdout, /valid and the store can be used/)
  const bad = await runCli(['check', '--data-dir', '/dev/null/nothing'])
  assert.equal(bad.code, 1)
  assert.notEqual(bad.stderr, '')
})

test('sweep removes what has expired, once, and tells how much; the server does it by itself', async () => {
  using directory = temporaryDirectory()
  const environment = {
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_ENABLE_EXPIRATION: 'true',
    FILELOFT_EXPIRATION_TTL: '1',
  }
  const records = () => readdirSync(directory.path).filter((name) => name.endsWith('.info')).length
  {
    await using server = await startCli(environment)
    await createUpload(server.origin, 5)
  }
  assert.equal(records(), 1)
  let swept = await runCli(['sweep'], environment)
  while (swept.stdout.startsWith('removed 0')) swept = await runCli(['sweep'], environment)
  assert.deepEqual([swept.code, swept.stdout], [0, 'removed 1, skipped 0, concatenated 0, leftovers 0\n'])
  assert.equal(records(), 0)

  await using server = await startCli({ ...environment, FILELOFT_SWEEP_INTERVAL: '1' })
  await createUpload(server.origin, 5)
  const line = await server.line(({ msg, removed }) => msg === 'swept' && removed === 1)
  assert.equal(line.level, 'info')
  assert.equal(records(), 0)
})

test('--help lists every setting, --version is that of the package', async () => {
  const help = await runCli(['--help'], { FILELOFT_MAX_SIZE: 'wrong, but help is help' })
  assert.equal(help.code, 0)
  assert.match(help.stdout, /FILELOFT_MAX_SIZE, --max-size VALUE/)
  assert.match(help.stdout, /FILELOFT_ENABLE_H2C, --enable-h2c\n/)
  assert.match(help.stdout, /\bcheck\b[^]*\bsweep\b/)
  const version = await runCli(['--version'])
  assert.match(version.stdout, /^\d+\.\d+\.\d+/)
})

test('without FILELOFT_DATA_DIR and with the usual place out of reach, ./fileloft-data is used and said', async () => {
  using directory = temporaryDirectory()
  const file = join(directory.path, 'file')
  writeFileSync(file, '')
  const before = process.cwd()
  process.chdir(directory.path)
  try {
    const { config } = readCommandLine([], {})
    const storage = await openFiles(config, join(file, 'below'))
    assert.equal(storage.about.directory, join(directory.path, 'fileloft-data'))
    assert.match(storage.notice ?? '', /fileloft-data; FILELOFT_DATA_DIR says otherwise/)
    const usual = await openFiles(config, join(directory.path, 'usual'))
    assert.deepEqual([usual.about.directory, usual.notice], [join(directory.path, 'usual'), null])
  } finally {
    process.chdir(before)
  }
})

test('standard output that nobody reads any more: no complaint; one that is full: one line, exit code 1', async () => {
  const run = async (stdout: 'pipe' | number, ...args: string[]) => {
    const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', stdout, 'pipe'] })
    child.stdout?.destroy()
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => void (stderr += chunk.toString()))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, stderr }
  }
  for (const args of [['--help'], ['upload', '--help']]) {
    assert.deepEqual(await run('pipe', ...args), { code: 0, stderr: '' }, args.join(' '))
  }
  if (process.platform !== 'linux') return
  const full = openSync('/dev/full', 'w')
  const { code, stderr } = await run(full, '--help')
  closeSync(full)
  assert.equal(code, 1)
  assert.match(stderr, /^fileloft: standard output: ENOSPC: [^\n]*\n$/)
})
