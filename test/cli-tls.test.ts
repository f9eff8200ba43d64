/** HTTPS by the command. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { curl, makeCertificate, startCli, temporaryDirectory } from './cli-support.ts'

test('HTTPS speaks HTTP/1.1 and HTTP/2, Location is https, and SIGHUP takes a new certificate but not a bad one', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'first')
  const second = makeCertificate(directory.path, 'second')
  await using server = await startCli({
    FILELOFT_DATA_DIR: join(directory.path, 'data'),
    FILELOFT_TLS_CERT: cert,
    FILELOFT_TLS_KEY: key,
  })
  assert.match(server.origin, /^https:\/\/127/)
  const headers = ['-X', 'POST', '-H', 'Tus-Resumable: 1.0.0', '-H', 'Upload-Length: 3', `${server.origin}/files`]
  for (const version of ['--http1.1', '--http2']) {
    const answer = curl('--cacert', cert, version, ...headers)
    assert.match(answer, version === '--http2' ? /^HTTP\/2 201 / : /^HTTP\/1\.1 201 /)
    assert.match(answer, /^location: https:\/\/127\.0\.0\.1:\d+\/files\//im)
  }
  assert.equal(await subjectOf(server.port), 'first')

  writeFileSync(cert, 'no certificate')
  server.process.kill('SIGHUP')
  assert.equal((await server.line(({ msg }) => msg === 'the new certificate is not used')).level, 'error')
  assert.equal(await subjectOf(server.port), 'first')

  copyFileSync(second.cert, cert)
  copyFileSync(second.key, key)
  server.process.kill('SIGHUP')
  await server.line(({ msg }) => msg === 'certificate reloaded')
  assert.equal(await subjectOf(server.port), 'second')

  const idle = connectTls({ port: server.port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(idle, 'secureConnect')
  const started = performance.now()
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(performance.now() - started < 8_000)
  idle.destroy()
})

test('FILELOFT_TLS_MODE decides on versions and suites', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'mode')
  const weak = 'ECDHE-ECDSA-AES128-SHA256'
  for (const [mode, version12, version13, weak12] of [
    ['tls12', true, true, true],
    ['tls13', false, true, false],
    ['tls12-strong', true, true, false],
  ] as const) {
    await using server = await startCli({
      FILELOFT_DATA_DIR: join(directory.path, 'data'),
      FILELOFT_TLS_CERT: cert,
      FILELOFT_TLS_KEY: key,
      FILELOFT_TLS_MODE: mode,
    })
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), version12, mode)
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1.3' }), version13, mode)
    assert.equal(await handshakes(server.port, { maxVersion: 'TLSv1.2', ciphers: weak }), weak12, mode)
    assert.equal(await handshakes(server.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }), false, mode)
  }
})

async function subjectOf(port: number): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const subject = socket.getPeerCertificate().subject.CN
  socket.destroy()
  return String(subject)
}

async function handshakes(port: number, options: ConnectionOptions): Promise<boolean> {
  const socket = connectTls({ ...options, port, host: '127.0.0.1', rejectUnauthorized: false })
  try {
    await once(socket, 'secureConnect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
