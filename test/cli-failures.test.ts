/** The command where the system around it fails, or ends it at the wrong moment. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createUpload, runCli, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { exchange, patchHead, rawClient } from './node-support.ts'

/** What makes Node run `code` before the command. */
function preload(directory: string, code: string): { NODE_OPTIONS: string } {
  const file = join(directory, 'preload.mjs')
  writeFileSync(file, code)
  return { NODE_OPTIONS: `--import=${file}` }
}

test('SIGTERM while the server starts: it ends as it would later, exit code 0', async () => {
  using directory = temporaryDirectory()
  const environment = preload(
    directory.path,
    `import { Server } from 'node:net'
     import { isMainThread } from 'node:worker_threads'
     const { listen } = Server.prototype
     let isSent = !isMainThread
     Server.prototype.listen = function (...args) {
       // Once: a second signal would end it at once.
       if (!isSent) process.kill(process.pid, 'SIGTERM')
       isSent = true
       return listen.apply(this, args)
     }`,
  )
  const args = ['--bind', '127.0.0.1:0', '--data-dir', join(directory.path, 'data')]
  const { code, stdout } = await runCli(args, environment)
  assert.equal(code, 0, stdout)
  assert.match(stdout, /"shutting down"[^]*"stopped"/)
})

test('work that does not end within the shutdown time: a warning, exit code 1', async () => {
  using directory = temporaryDirectory()
  const environment = preload(
    directory.path,
    `import fs from 'node:fs'
     const { fsync } = fs
     let isStuck = false
     // Of the folder that the upload is in; not of the log.
     fs.fsync = (fd, done) => (isStuck && fs.fstatSync(fd).isDirectory()) || fsync(fd, done)
     process.on('SIGUSR2', () => {
       isStuck = true
       console.log('{"msg":"stuck"}')
     })`,
  )
  await using server = await startCli({
    ...environment,
    FILELOFT_DATA_DIR: join(directory.path, 'data'),
    FILELOFT_SHUTDOWN_TIMEOUT: '0.5',
    // The signal and the second request are to come to the thread that serves the upload.
    FILELOFT_WORKERS: '1',
  })
  const url = await createUpload(server.origin, 5)
  server.process.kill('SIGUSR2')
  await server.line(({ msg }) => msg === 'stuck')
  using client = await rawClient(server.port)
  client.socket.write(`${patchHead(url, 5)}hello`)
  // Asked behind it, so the PATCH has begun.
  await fetch(`${server.origin}/healthz`)
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 1, server.output())
  assert.match(server.output(), /still running after 0\.5 s/)
})

test('a full disk: check fails, the server starts with a warning, and answers HEAD and DELETE', async () => {
  using directory = temporaryDirectory()
  const data = { FILELOFT_DATA_DIR: join(directory.path, 'data') }
  let location: string
  {
    await using server = await startCli(data)
    location = await createUpload(server.origin, 5)
  }
  const full = preload(
    directory.path,
    `import fs from 'node:fs'
     const { openSync } = fs
     fs.openSync = (path, flags, ...rest) => {
       if (flags === 'wx' && path.includes('/.tmp/')) throw Object.assign(new Error('ENOSPC: no space left on device, open'), { code: 'ENOSPC' })
       return openSync(path, flags, ...rest)
     }`,
  )
  const { code, stderr } = await runCli(['check'], { ...data, ...full })
  assert.equal(code, 1)
  assert.match(stderr, /no space left/)

  await using server = await startCli({ ...data, ...full })
  const warning = await server.line(({ level }) => level === 'warn')
  assert.match(warning.msg, /storage is full/)
  const url = server.origin + new URL(location).pathname
  const answers = []
  for (const method of ['HEAD', 'DELETE', 'HEAD']) {
    answers.push((await fetch(url, { method, headers: tus })).status)
  }
  assert.deepEqual(answers, [200, 204, 404])
  assert.equal((await fetch(`${server.origin}/readyz`)).status, 503)
})

test('a data directory where none can be made ends the check with exit code 1, at once', async (t) => {
  if (!existsSync('/proc/self')) {
    t.skip('there is no /proc')
    return
  }
  for (const path of ['/proc/nothing/here', '/proc']) {
    const { code, stderr } = await runCli(['check', '--bind', '127.0.0.1:0', '--data-dir', path])
    assert.equal(code, 1)
    assert.match(stderr, /^fileloft: The directory \/proc\S* cannot be used: .*\n$/)
  }
})

test('a download that nobody reads is cut off after the idle timeout', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_ENABLE_DOWNLOAD: 'true',
    FILELOFT_IDLE_TIMEOUT: '1',
  })
  // More than the system takes for a client that does not read.
  const size = 48 * 1024 * 1024
  const location = await createUpload(server.origin, size)
  const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' }
  const { status } = await fetch(location, { method: 'PATCH', headers, body: new Uint8Array(size) })
  assert.equal(status, 204)
  using client = await rawClient(server.port)
  client.socket.pause()
  client.socket.write(`GET ${new URL(location).pathname} HTTP/1.1\r\nHost: a\r\n\r\n`)
  const line = await server.line(({ method }) => method === 'GET')
  assert.deepEqual([line['status'], line['aborted']], [200, true])
})

test('OPTIONS * is answered as OPTIONS of the endpoints is', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_BASE_PATH: '/a/b/' })
  const answer = await exchange(server.port, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 204 [^]*\r\nTus-Extension: creation,/i)
  const other = await exchange(server.port, 'GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.match(other, /^HTTP\/1\.1 400 /)
})

test('a request that cannot be understood, with a body that does not come: answered, and its connection ends', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  for (const target of ['ftp://a/files', 'http://[::x]/files', String.raw`/\a/files`]) {
    const answer = await exchange(server.port, `POST ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc`)
    assert.match(answer, /^HTTP\/1\.1 400 [^]*\r\nConnection: close\r\n/i, target)
  }
})
