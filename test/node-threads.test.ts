/** The command with several threads on one port. The system deals connections out, so each case opens a dozen. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { threadCount } from '../src/node/threads.ts'
import { createUpload, makeCertificate, runCli, type Server, startCli, temporaryDirectory } from './cli-support.ts'
import { exchange, type RawClient, rawClient } from './node-support.ts'

/** That all of them come to one of four threads happens once in four million times. */
const dozen = Array.from({ length: 12 }, (_, index) => index)

const tus = 'Host: a\r\nTus-Resumable: 1.0.0\r\n'
const linux = { skip: process.platform === 'linux' ? false : 'ports are shared on Linux' }

function start(directory: string, more: Record<string, string> = {}): Promise<Server> {
  return startCli({ FILELOFT_DATA_DIR: join(directory, 'data'), FILELOFT_WORKERS: '4', ...more })
}

function patch(path: string, offset: number, length: number): string {
  const type = 'Content-Type: application/offset+octet-stream'
  return `PATCH ${path} HTTP/1.1\r\n${tus}${type}\r\nUpload-Offset: ${offset}\r\nContent-Length: ${length}\r\n`
}

async function headOn(port: number, path: string): Promise<string> {
  return exchange(port, `HEAD ${path} HTTP/1.1\r\n${tus}Connection: close\r\n\r\n`)
}

/** An upload of 1 MB whose PATCH stands still after 5,000 bytes, which are stored. */
async function stalled(server: Server, directory: string): Promise<{ path: string; file: string; client: RawClient }> {
  const path = new URL(await createUpload(server.origin, 1_000_000)).pathname
  const file = join(directory, 'data', path.slice(path.lastIndexOf('/') + 1))
  const client = await rawClient(server.port)
  client.socket.write(`${patch(path, 0, 1_000_000)}\r\n${'x'.repeat(5_000)}`)
  // Written within 200 ms; the file system has no event for it.
  while (statSync(file).size < 5_000) await new Promise((resolve) => setTimeout(resolve, 10))
  return { path, file, client }
}

describe('several threads', linux, () => {
  test('FILELOFT_WORKERS=4: four listen on the port, and the start line comes once and says so', async () => {
    using directory = temporaryDirectory()
    await using server = await start(directory.path)
    assert.equal((await server.line(({ msg }) => msg === 'listening'))['workers'], 4)
    assert.equal(listeners(server.port), 4)
    server.process.kill('SIGTERM')
    assert.equal(await server.exit, 0)
    for (const text of ['listening', 'shutting down', 'stopped']) {
      assert.equal(server.output().split(`"msg":"${text}"`).length, 2, text)
    }
  })

  test('the main thread listens when all others do: whoever connects at once is not with it alone', async () => {
    using directory = temporaryDirectory()
    const spy = join(directory.path, 'spy.mjs')
    const seen = join(directory.path, 'seen')
    writeFileSync(
      spy,
      `import { appendFileSync } from 'node:fs'
       import { Server } from 'node:net'
       import { threadId } from 'node:worker_threads'
       const { listen } = Server.prototype
       Server.prototype.listen = function (...args) {
         if (args[0]?.reusePort) this.once('listening', () => appendFileSync(${JSON.stringify(seen)}, String(threadId)))
         return listen.apply(this, args)
       }`,
    )
    await using server = await start(directory.path, { NODE_OPTIONS: `--import=${spy}` })
    assert.equal(listeners(server.port), 4)
    assert.match(readFileSync(seen, 'latin1'), /^[123]{3}0$/)
  })

  test('uploads that come to another thread with each request: all bytes, and a log line for each request', async () => {
    using directory = temporaryDirectory()
    await using server = await start(directory.path)
    const contents = await Promise.all(
      dozen.map(async (index) => {
        const path = new URL(await createUpload(server.origin, 8_000)).pathname
        for (let offset = 0; offset < 8_000; offset += 1_000) {
          const body = String.fromCharCode(97 + index).repeat(1_000)
          const answer = await exchange(server.port, `${patch(path, offset, 1_000)}Connection: close\r\n\r\n${body}`)
          assert.match(answer, /^HTTP\/1\.1 204 /)
        }
        return readFileSync(join(directory.path, 'data', path.slice(path.lastIndexOf('/') + 1)), 'utf8')
      }),
    )
    assert.deepEqual(
      contents,
      dozen.map((index) => String.fromCharCode(97 + index).repeat(8_000)),
    )
    server.process.kill('SIGTERM')
    assert.equal(await server.exit, 0)
    const lines = server.output().trim().split('\n')
    const requests = lines.map((line) => JSON.parse(line) as { msg: string }).filter(({ msg }) => msg === 'request')
    assert.equal(requests.length, 9 * dozen.length)
  })

  test('HEAD while the PATCH stands still, perhaps in another thread: it gives way, the offset is what was stored', async () => {
    using directory = temporaryDirectory()
    await using server = await start(directory.path)
    await Promise.all(
      dozen.map(async () => {
        const { path, client } = await stalled(server, directory.path)
        const started = performance.now()
        assert.match(await headOn(server.port, path), /^HTTP\/1\.1 200 [^]*upload-offset: 5000\r/i)
        assert.ok(performance.now() - started < 5_000)
        assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 423 /)
        client.socket.destroy()
      }),
    )
  })

  test('SIGTERM during a dozen uploads: all threads store what they have and answer 503; exit code 0', async () => {
    using directory = temporaryDirectory()
    await using server = await start(directory.path)
    const uploads = await Promise.all(dozen.map(() => stalled(server, directory.path)))
    for (const { client } of uploads) client.socket.write('y'.repeat(100))
    server.process.kill('SIGTERM')
    for (const { client } of uploads) {
      assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 503 /)
      client.socket.destroy()
    }
    assert.equal(await server.exit, 0)
    for (const { file } of uploads) assert.ok(statSync(file).size >= 5_000)
  })

  test('kill -9 during a dozen uploads: the next start has their locks at once and their bytes', async () => {
    using directory = temporaryDirectory()
    const before = await start(directory.path)
    const uploads = await Promise.all(dozen.map(() => stalled(before, directory.path)))
    before.process.kill('SIGKILL')
    await before.exit
    await using after = await start(directory.path)
    const started = performance.now()
    for (const { path } of uploads) assert.match(await headOn(after.port, path), /upload-offset: 5000\r/i)
    assert.ok(performance.now() - started < 5_000)
  })

  test('a port that another server with threads has: the start fails, exit code 1', async () => {
    using directory = temporaryDirectory()
    await using server = await start(directory.path)
    const bind = `127.0.0.1:${server.port}`
    const second = ['--data-dir', join(directory.path, 'data'), '--workers', '4', '--bind', bind]
    const { code, stderr } = await runCli(second)
    assert.deepEqual([code, stderr], [1, `fileloft: Cannot listen on ${bind}: another process listens there\n`])
    assert.equal(listeners(server.port), 4)
  })

  test('SIGHUP: all threads take the new certificate, and the log says so once', async () => {
    using directory = temporaryDirectory()
    const { cert, key } = makeCertificate(directory.path, 'first')
    const second = makeCertificate(directory.path, 'second')
    await using server = await start(directory.path, { FILELOFT_TLS_CERT: cert, FILELOFT_TLS_KEY: key })
    assert.deepEqual(await subjects(server.port), new Set(['first']))
    copyFileSync(second.cert, cert)
    copyFileSync(second.key, key)
    server.process.kill('SIGHUP')
    await server.line(({ msg }) => msg === 'certificate reloaded')
    assert.deepEqual(await subjects(server.port), new Set(['second']))
    server.process.kill('SIGTERM')
    assert.equal(await server.exit, 0)
    assert.equal(server.output().split('certificate reloaded').length, 2)
  })

  test('a thread that fails is logged as fatal and ends the process with 1', async () => {
    using directory = temporaryDirectory()
    const bomb = join(directory.path, 'bomb.mjs')
    writeFileSync(
      bomb,
      `import { isMainThread } from 'node:worker_threads'
       const channel = new BroadcastChannel('bomb')
       channel.unref()
       if (isMainThread) process.on('SIGUSR2', () => channel.postMessage('now'))
       else channel.onmessage = () => { throw new Error('boom') }`,
    )
    await using server = await start(directory.path, { NODE_OPTIONS: `--import=${bomb}` })
    server.process.kill('SIGUSR2')
    assert.equal(await server.exit, 1)
    assert.match(JSON.stringify((await server.line(({ level }) => level === 'fatal'))['err']), /boom/)
    assert.equal(server.output().match(/"level":"fatal"/g)?.length, 1, server.output())
  })

  test('a thread that cannot start: said in one line, exit code 1', async () => {
    using directory = temporaryDirectory()
    const bomb = join(directory.path, 'bomb.mjs')
    writeFileSync(
      bomb,
      `import { isMainThread } from 'node:worker_threads'
       if (!isMainThread) throw new Error('boom')`,
    )
    const environment = { FILELOFT_WORKERS: '4', FILELOFT_BIND: '127.0.0.1:0', NODE_OPTIONS: `--import=${bomb}` }
    const { code, stderr } = await runCli(['--data-dir', directory.path], environment)
    assert.deepEqual([code, stderr], [1, 'fileloft: boom\n'])
  })
})

test('a Unix socket is served by one thread, and a larger number gets a warning', async () => {
  using directory = temporaryDirectory()
  const socket = join(directory.path, 's')
  await using server = await start(directory.path, { FILELOFT_BIND: '', FILELOFT_UNIX_SOCKET: socket })
  assert.equal((await server.line(({ msg }) => msg === 'listening'))['workers'], 1)
  await server.line(({ level, msg }) => level === 'warn' && msg.startsWith('FILELOFT_WORKERS is 4, but there is one'))
})

test('auto is one thread on object storage, at most two on files, and what is asked for counts', linux, () => {
  const auto = threadCount({ workers: 'auto', unixSocket: undefined, backend: 'fs' })
  assert.ok(auto.count >= 1 && auto.count <= 2)
  assert.deepEqual(threadCount({ workers: 'auto', unixSocket: undefined, backend: 's3' }), { count: 1, notice: null })
  assert.deepEqual(threadCount({ workers: 3, unixSocket: undefined, backend: 's3' }), { count: 3, notice: null })
  assert.deepEqual(threadCount({ workers: 'auto', unixSocket: '/s', backend: 'fs' }), { count: 1, notice: null })
})

/** Sockets that listen on the port. */
function listeners(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'latin1').trim().split('\n').slice(1)
  return rows.filter((row) => {
    const [, address = '', , state] = row.trim().split(/\s+/)
    return address.endsWith(local) && state === '0A'
  }).length
}

async function subjects(port: number): Promise<Set<unknown>> {
  return new Set(
    await Promise.all(
      dozen.map(async () => {
        const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
        await once(socket, 'secureConnect')
        const subject = socket.getPeerCertificate().subject.CN
        socket.destroy()
        return subject
      }),
    ),
  )
}
