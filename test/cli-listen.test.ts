/** Where and how the command listens. */
import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { createUpload, curl, runCli, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { rawClient } from './node-support.ts'

test('a Unix socket gets its mode; a stale one is replaced, one that answers is not', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 's')
  const environment = {
    FILELOFT_DATA_DIR: join(directory.path, 'data'),
    FILELOFT_UNIX_SOCKET: path,
    FILELOFT_UNIX_SOCKET_MODE: '0660',
    FILELOFT_BIND: '',
  }
  {
    await using server = await startCli(environment)
    assert.equal(server.origin, `unix:${path}`)
    assert.equal(statSync(path).mode & 0o777, 0o660)
    assert.match(curl('--unix-socket', path, 'http://x/readyz'), /^HTTP\/1\.1 200 /)
    const second = await runCli([], environment)
    assert.equal(second.code, 1)
    assert.match(second.stderr, /another process listens there/)
    assert.match(curl('--unix-socket', path, 'http://x/healthz'), /^HTTP\/1\.1 200 /)
  }
  assert.ok(existsSync(path), 'killed, it leaves its socket behind')
  await using server = await startCli(environment)
  assert.match(curl('--unix-socket', path, 'http://x/healthz'), /^HTTP\/1\.1 200 /)
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(!existsSync(path))
})

test('IPv6: [::]:0 listens, and its Location names the Host of the request', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_BIND: '[::]:0' })
  assert.match(server.origin, /^http:\/\/\[::\]:\d+$/)
  const location = await createUpload(`http://[::1]:${server.port}`, 5)
  assert.ok(location.startsWith(`http://[::1]:${server.port}/files/`))
})

test('without TLS, HTTP/2 is spoken beside HTTP/1.1 with FILELOFT_ENABLE_H2C only', async () => {
  using directory = temporaryDirectory()
  await using on = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_ENABLE_H2C: '1' })
  const headers = ['-H', 'Tus-Resumable: 1.0.0', '-H', 'Upload-Length: 3']
  const created = curl('--http2-prior-knowledge', '-X', 'POST', ...headers, `${on.origin}/files`)
  assert.match(created, /^HTTP\/2 201 /)
  const location = /^location: (.*)\r$/im.exec(created)?.[1] ?? ''
  assert.ok(location.startsWith(`${on.origin}/files/`), created)
  const patch = ['Tus-Resumable: 1.0.0', 'Upload-Offset: 0', 'Content-Type: application/offset+octet-stream']
  const args = ['-X', 'PATCH', ...patch.flatMap((header) => ['-H', header]), '-d', 'abc', location]
  assert.match(curl('--http2-prior-knowledge', ...args), /^HTTP\/2 204 /)
  assert.equal((await fetch(location, { method: 'HEAD', headers: tus })).headers.get('upload-offset'), '3')

  // The first bytes may come one at a time, and more than one request on a connection.
  using client = await rawClient(on.port)
  for (const byte of 'POST') {
    client.socket.write(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  client.socket.write(' /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1\r\n\r\n')
  await client.until(/ 201 [^]*\r\n\r\n/)
  const before = client.received().length
  client.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/ 200 /, before)

  using silent = await rawClient(on.port)
  on.process.kill('SIGTERM')
  assert.equal(await on.exit, 0)
  assert.equal(await silent.closed, null)

  await using off = await startCli({ FILELOFT_DATA_DIR: directory.path })
  assert.throws(() => curl('--http2-prior-knowledge', `${off.origin}/healthz`))
  assert.match(curl(`${off.origin}/healthz`), /^HTTP\/1\.1 200 /)
})

test('headers of 60 KiB are taken, as a long Upload-Concat needs, and larger ones answered 431', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const send = (size: number) => {
    const agent = new Agent()
    return new Promise<number | undefined>((resolve, reject) => {
      get(`${server.origin}/healthz`, { agent, headers: { 'X-Long': 'x'.repeat(size) } }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      }).on('error', reject)
    })
  }
  assert.equal(await send(60 * 1024), 200)
  assert.equal(await send(66 * 1024), 431)
})
