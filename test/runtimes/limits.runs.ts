/** What runtimes and frameworks cannot do, as the table in the README says: each is refused in words, or harmless. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../servers/program.ts'
import { exchange as sayAll, rawClient } from '../node-support.ts'
import { bytesOf } from '../suites/bodies.ts'
import { until } from '../suites/support.ts'
import { exchange } from './client.ts'
import { newcomersFolder, startIn } from './newcomer.ts'
import { programs } from './programs.ts'
import { dial } from './wire-node.ts'
import { startWorker } from './workerd.ts'

const tus = { 'Tus-Resumable': '1.0.0' }

interface Served {
  readonly port: number
  stop(): Promise<void>
}

async function serveExample(program: (typeof programs)['bun'], example: string, packages: string[] = []) {
  const folder = await newcomersFolder(example, packages)
  const port = await freePort()
  const started = await startIn(folder, [...(program.command ?? []), example], { PORT: String(port) })
  const stop = async () => {
    await started[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  }
  return { port, stop }
}

async function serveWorker(): Promise<Served> {
  const folder = await newcomersFolder('cloudflare')
  const miniflare = await startWorker(join(folder.path, 'src/worker.ts'), false)
  const { port } = await miniflare.ready
  const stop = async () => {
    await miniflare.dispose()
    await folder[Symbol.asyncDispose]()
  }
  return { port: Number(port), stop }
}

const { bun, deno, node24 } = programs

for (const [name, program, serve] of [
  ['Bun', bun, () => serveExample(bun, 'bun.ts')],
  ['Deno', deno, () => serveExample(deno, 'deno.ts')],
  ['workerd', node24, serveWorker],
] as const) {
  void describe(name, { skip: program.command === null && `${name} is not installed: npm ci` }, () => {
    let served: Served
    before(async () => void (served = await serve()))
    after(() => served.stop())

    void test('PATCH whose checksum comes as a trailer, and does come: 400 that says so, nothing stored', async () => {
      const { port } = served
      const path = await create(port, 5)
      // In one piece: the answer comes before the body is read.
      const answer = await sayAll(
        port,
        `PATCH ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
          'Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\nTrailer: Upload-Checksum\r\n\r\n' +
          '5\r\nhello\r\n0\r\nUpload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n\r\n',
      )
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.match(answer, /\r\n\r\n[\s\S]*trailer/i)
      assert.equal(await offset(port, path), '0')
    })

    void test('OPTIONS: checksum, but not checksum-trailer', async () => {
      const answer = await exchange(dial, served.port, '/files', { method: 'OPTIONS' }, new Set())
      const extensions = answer.headers.get('Tus-Extension')?.split(',')
      assert.ok(extensions?.includes('checksum') === true && !extensions.includes('checksum-trailer'))
    })

    void test('PATCH whose client closes its side half-way: what had arrived is kept', async () => {
      const { port } = served
      const path = await create(port, 100)
      // A runtime that sees the end before it has begun with the request drops it, and nothing has been promised.
      await until(async () => {
        using client = await rawClient(port, { allowHalfOpen: true })
        client.socket.end(
          `PATCH ${path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
            'Content-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\nhello',
        )
        return (await offset(port, path)) === '5'
      }, 'the bytes that arrived are stored')
    })
  })
}

void describe('frameworks', () => {
  void test('Bun without maxRequestBodySize, PATCH that declares 129 MiB: 413 before a byte of it', async () => {
    const server =
      'Bun.serve({ port: process.env.PORT, fetch: () => new Response("reached") });console.log("listening")'
    await using folder = await newcomersFolder('bun.ts')
    const port = await freePort()
    await using _ = await startIn(folder, [...(bun.command ?? []), '-e', server], { PORT: String(port) })
    assert.match(await firstLine(port, `PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: ${129 << 20}\r\n\r\n`), / 413 /)
  })

  void test('Bun, GET of a download: its bytes in chunks, without Content-Length, which HEAD tells', async () => {
    const server = `
      import { createTusHandler } from 'fileloft'
      import { fileStore } from 'fileloft/stores/fs'
      const store = fileStore({ directory: './data' })
      const handler = createTusHandler({ path: '/files', store, downloads: true })
      Bun.serve({ port: process.env.PORT, hostname: '127.0.0.1', fetch: (request) => handler(request) })
      console.log('listening')`
    await using folder = await newcomersFolder('bun.ts')
    const port = await freePort()
    await using _ = await startIn(folder, [...(bun.command ?? []), '-e', server], { PORT: String(port) })
    const path = await create(port, 100_000)
    const headers = { ...tus, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' }
    await exchange(dial, port, path, { method: 'PATCH', headers, body: bytesOf(100_000) }, new Set())
    const answer = await exchange(dial, port, path, {}, new Set())
    assert.equal(answer.headers.get('Content-Length'), null)
    assert.equal(answer.headers.get('Transfer-Encoding'), 'chunked')
    assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), new Uint8Array(bytesOf(100_000)))
    const head = await exchange(dial, port, path, { method: 'HEAD' }, new Set())
    assert.equal(head.headers.get('Content-Length'), '100000')
  })

  void test('Fastify, a path that cannot be decoded: 400 in words, by Fastify', async (t) => {
    const { port, stop } = await serveExample(node24, 'fastify.ts', ['node_modules/fastify'])
    t.after(stop)
    const answer = await exchange(dial, port, '/files/%ff', { method: 'HEAD' }, new Set())
    assert.equal(answer.status, 400)
    assert.match(await (await exchange(dial, port, '/files/%ff', {}, new Set())).text(), /not a valid url/)
  })

  void test('Hono on Node, a path with a backslash: 400 by @hono/node-server, without a body', async (t) => {
    const { port, stop } = await serveExample(node24, 'hono.ts', [
      'node_modules/hono',
      'node_modules/@hono/node-server',
    ])
    t.after(stop)
    const answer = await exchange(dial, port, '/files/..\\secret', {}, new Set())
    assert.equal(answer.status, 400)
    assert.equal(await answer.text(), '')
  })
})

async function create(port: number, length: number): Promise<string> {
  const headers = { ...tus, 'Upload-Length': String(length) }
  const answer = await exchange(dial, port, '/files', { method: 'POST', headers }, new Set())
  assert.equal(answer.status, 201)
  return new URL(answer.headers.get('Location') ?? '', `http://127.0.0.1:${port}`).pathname
}

async function offset(port: number, path: string): Promise<string | null> {
  const answer = await exchange(dial, port, path, { method: 'HEAD', headers: tus }, new Set())
  return answer.headers.get('Upload-Offset')
}

async function firstLine(port: number, request: string): Promise<string> {
  const wire = await dial(port)
  await wire.write(new TextEncoder().encode(request))
  const answer = (await wire.read()) ?? bytesOf(0)
  wire.destroy()
  return new TextDecoder().decode(answer).split('\r\n')[0] ?? ''
}
