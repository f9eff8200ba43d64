/** How the command ends. */
import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createUpload, startCli, temporaryDirectory } from './cli-support.ts'
import { patchHead, rawClient } from './node-support.ts'

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
