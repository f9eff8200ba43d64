/** How the command ends. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { connect } from 'node:http2'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { cli, createUpload, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { startReceiver } from './hooks/receiver.ts'
import { patchHead, rawClient } from './node-support.ts'
import { inherited } from './support/environment.ts'

test('SIGTERM with a stalled body: what arrived is stored, the request answered 503, exit code 0', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const location = await createUpload(server.origin, 1_000_000)
  using idle = await rawClient(server.port)
  using client = await rawClient(server.port)
  client.socket.write(patchHead(location, 1_000_000))
  client.socket.write('x'.repeat(5000))
  const id = location.slice(location.lastIndexOf('/') + 1)
  // Stored or not by then: the shutdown has to flush it either way.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 503 [^]*connection: close/i)
  client.socket.destroy()
  assert.equal(await server.exit, 0)
  assert.ok(performance.now() - started < 8_000)
  assert.equal(await idle.closed, null)
  assert.equal(statSync(join(directory.path, id)).size, 5000)
  assert.match(server.output(), /"msg":"shutting down"[^]*"msg":"stopped"/)
})

test('a client that takes no notice of the shutdown is cut off when the time is over; exit code 0', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_SHUTDOWN_TIMEOUT: '0.5',
  })
  using client = await rawClient(server.port, { allowHalfOpen: true })
  client.socket.write('POST /files HTTP/1.1\r\nHost: a\r\n')
  await fetch(`${server.origin}/healthz`)
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  const took = performance.now() - started
  assert.ok(took > 400 && took < 5_000, `${took} ms`)
  assert.match(server.output(), /still running after 0\.5 s/)
})

test('a second signal ends the process at once with the code of the signal', async () => {
  using directory = temporaryDirectory()
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_SHUTDOWN_TIMEOUT: '60' })
    using client = await rawClient(server.port, { allowHalfOpen: true })
    client.socket.write('POST /files HTTP/1.1\r\nHost: a\r\n')
    await fetch(`${server.origin}/healthz`)
    server.process.kill(signal)
    await server.line(({ msg }) => msg === 'shutting down')
    server.process.kill(signal)
    assert.equal(await server.exit, code)
  }
})

test('an unhandled rejection is logged as fatal and ends the process with 1', async () => {
  using directory = temporaryDirectory()
  const bomb = join(directory.path, 'bomb.mjs')
  writeFileSync(bomb, `process.on('SIGUSR2', () => void Promise.reject(new Error('boom')))`)
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, NODE_OPTIONS: `--import=${bomb}` })
  server.process.kill('SIGUSR2')
  assert.equal(await server.exit, 1)
  const fatal = await server.line(({ level }) => level === 'fatal')
  assert.match(JSON.stringify(fatal['err']), /boom/)
})

test('an unhandled rejection while the last lines of the log are read: standard error tells it, exit code 1', async () => {
  using directory = temporaryDirectory()
  const bomb = join(directory.path, 'bomb.mjs')
  writeFileSync(bomb, `process.on('SIGUSR2', () => void Promise.reject(new Error('boom')))`)
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_WORKERS: '1',
    NODE_OPTIONS: `--import=${bomb}`,
  })
  const { stdout, stderr } = server.process
  stdout?.pause()
  const path = 'a'.repeat(8000)
  for (let count = 0; count < 40; count++) await fetch(`${server.origin}/${path}`)
  server.process.kill('SIGTERM')
  // Nothing tells from outside that the last lines are waited for; one that came too early would be in the log.
  await new Promise((resolve) => setTimeout(resolve, 500))
  server.process.kill('SIGUSR2')
  const told: unknown[] = await Promise.race([once(stderr!, 'data'), once(server.process, 'exit')])
  assert.match(String(told[0]), /unexpected failure: boom/)
  stdout?.resume()
  assert.equal(await server.exit, 1)
})

test('SIGTERM while nobody reads the log: the process ends all the same, by the signal', async () => {
  using directory = temporaryDirectory()
  for (const workers of ['1', '2']) {
    await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_WORKERS: workers })
    server.process.stdout?.pause()
    // More than a pipe takes, and this process reads ahead.
    const path = 'a'.repeat(8000)
    for (let count = 0; count < 40; count++) await fetch(`${server.origin}/${path}`)
    server.process.kill('SIGTERM')
    const [code, signal] = (await once(server.process, 'exit')) as [number | null, NodeJS.Signals | null]
    assert.deepEqual([code, signal], [null, 'SIGTERM'])
    server.process.stdout?.resume()
    await server.exit
  }
})

test('SIGTERM while the log is read bit by bit: the process ends within seconds, by the signal', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_WORKERS: '1' })
  const { stdout } = server.process
  stdout?.pause()
  // At 64 KiB a second longer than anybody waits.
  const path = 'a'.repeat(8000)
  for (let count = 0; count < 250; count++) await fetch(`${server.origin}/${path}`)
  const reading = setInterval(() => void stdout?.once('data', () => void stdout.pause()).resume(), 1_000)
  const started = performance.now()
  server.process.kill('SIGTERM')
  const ended = await once(server.process, 'exit')
  clearInterval(reading)
  assert.deepEqual(ended, [null, 'SIGTERM'])
  assert.ok(performance.now() - started < 9_000)
  stdout?.resume()
  await server.exit
})

const unshare = ['unshare', '-Urfp', '--kill-child']
const own = spawnSync('unshare', ['-Urfp', 'true']).status === 0
const alone = own ? {} : { skip: 'needs unshare of util-linux, and the right to make namespaces' }

test('SIGTERM to the first process of a container while nobody reads its outputs: it ends', alone, async () => {
  using directory = temporaryDirectory()
  // What ends the process writes to standard error, which is full here.
  const full = join(directory.path, 'full')
  execFileSync('mkfifo', [full])
  const fd = openSync(full, constants.O_RDWR | constants.O_NONBLOCK)
  assert.throws(() => {
    for (;;) writeSync(fd, Buffer.alloc(4096))
  }, /EAGAIN/)
  const child = spawn('sh', ['-c', `exec "$@" 2>'${full}'`, 'sh', ...unshare, process.execPath, cli], {
    env: { ...inherited, FILELOFT_BIND: '127.0.0.1:0', FILELOFT_WORKERS: '1', FILELOFT_DATA_DIR: directory.path },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const { address } = await new Promise<{ address: string }>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line.includes('"listening"')) resolve(JSON.parse(line) as { address: string })
    })
  })
  child.stdout.pause()
  const path = 'a'.repeat(8000)
  for (let count = 0; count < 40; count++) await fetch(`${address}/${path}`)
  // Its own number is 1 in there only.
  const inner = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
  process.kill(Number(inner), 'SIGTERM')
  let isLate = false
  const late = setTimeout(() => {
    isLate = true
    process.kill(Number(inner), 'SIGKILL')
  }, 9_000)
  await once(child, 'exit')
  clearTimeout(late)
  closeSync(fd)
  assert.equal(isLate, false)
})

test('requests that are cut off at the end of the shutdown: a log line each, whichever thread had them', async () => {
  using directory = temporaryDirectory()
  await using receiver = await startReceiver(() => 'nothing')
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_WORKERS: '3',
    FILELOFT_SHUTDOWN_TIMEOUT: '0.5',
    FILELOFT_ENABLE_H2C: 'true',
    FILELOFT_HOOKS_URL: receiver.url,
    FILELOFT_HOOKS_EVENTS: 'pre-create',
  })
  const ids = Array.from({ length: 16 }, (_, number) => `request-${number}`)
  const sessions = ids.slice(8).map((id) => {
    const session = connect(server.origin).on('error', () => {})
    const headers = { ...tus, 'upload-length': '5', 'x-request-id': id }
    session.request({ ':method': 'POST', ':path': '/files', ...headers }).on('error', () => {})
    return session
  })
  for (const id of ids.slice(0, 8)) {
    const headers = { ...tus, 'Upload-Length': '5', 'X-Request-Id': id, Connection: 'close' }
    fetch(`${server.origin}/files`, { method: 'POST', headers }).catch(() => {})
  }
  await receiver.until(() => receiver.deliveries.length === ids.length)
  server.process.kill('SIGTERM')
  await server.exit
  for (const session of sessions) session.destroy()
  const lines = server.output().split('\n')
  const told = ids.filter((id) => lines.some((line) => line.includes(`"requestId":"${id}"`)))
  assert.deepEqual(told, ids)
  assert.match(lines.at(-2) ?? '', /"msg":"stopped"/)
})
