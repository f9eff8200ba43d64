/** The listener for Node's servers: bodies of requests. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { toNodeListener } from '../src/node/index.ts'
import { collect, fakeHandler, listen, rawClient, serveListener, stop } from './node-support.ts'

test('a body arrives whole, with Content-Length and chunked, with its trailers after its end', async () => {
  const bytes = Buffer.alloc(3_000_000, 'abcdefghijk')
  await using server = await serveListener(async (_request, platform) => {
    assert.ok(platform.trailers)
    assert.equal(platform.trailers().get('upload-checksum'), null)
    const same = (await collect(platform.body)).equals(bytes)
    return Response.json([same, platform.trailers().get('upload-checksum'), platform.remoteAddress, platform.encrypted])
  })
  const plain = await fetch(`http://127.0.0.1:${server.port}/`, { method: 'PATCH', body: bytes })
  assert.deepEqual(await plain.json(), [true, null, '127.0.0.1', false])

  using client = await rawClient(server.port)
  client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Upload-Checksum\r\n\r\n')
  for (let at = 0; at < bytes.length; at += 70_000) {
    const chunk = bytes.subarray(at, at + 70_000)
    client.socket.write(`${chunk.length.toString(16)}\r\n`)
    client.socket.write(chunk)
    client.socket.write('\r\n')
  }
  client.socket.write('0\r\nUpload-Checksum: sha1 x\r\n\r\n')
  const answer = await client.until(/\]/)
  assert.ok(answer.includes('[true,"sha1 x","127.0.0.1",false]'), answer)
})

test('a body that nobody waits for is not read beyond a bound', async () => {
  const seen = Promise.withResolvers<number>()
  const go = Promise.withResolvers<void>()
  await using server = await serveListener(async (_request, platform) => {
    const iterator = platform.body?.[Symbol.asyncIterator]()
    const first = await iterator?.next()
    await go.promise
    let size = first?.value.byteLength
    for (let next = await iterator?.next(); next?.done === false; next = await iterator?.next()) {
      size += next.value.byteLength
    }
    seen.resolve(size)
    return new Response(null, { status: 204 })
  })
  using client = await rawClient(server.port)
  const size = 64 * 1024 * 1024
  client.socket.write(`PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
  const piece = Buffer.alloc(1024 * 1024)
  let flushed = Promise.resolve()
  for (let sent = 0; sent < size; sent += piece.length) {
    flushed = new Promise((resolve) => client.socket.write(piece, () => resolve()))
  }
  // What the kernel and the read-ahead take is far less than the body: the client gets stuck.
  let before = -1
  while (before !== client.socket.bytesWritten - client.socket.writableLength) {
    before = client.socket.bytesWritten - client.socket.writableLength
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(client.socket.writableLength > 0, 'everything was taken')
  go.resolve()
  await flushed
  assert.equal(await seen.promise, size)
  await client.until(/ 204 /)
})

test('a connection that breaks within a body throws after the bytes that arrived', async () => {
  const outcome = Promise.withResolvers<[number, unknown]>()
  await using server = await serveListener(async (_request, platform) => {
    let size = 0
    try {
      for await (const chunk of platform.body ?? []) {
        size += chunk.byteLength
        if (size >= 1000) client.socket.destroy()
      }
      outcome.resolve([size, null])
    } catch (error) {
      outcome.resolve([size, error])
    }
    return new Response()
  })
  using client = await rawClient(server.port)
  client.socket.write(`PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n${'x'.repeat(1000)}`)
  const [size, error] = await outcome.promise
  assert.equal(size, 1000)
  assert.ok(error instanceof Error)
})

test('bytes that arrived before the connection broke are handed out even when it breaks unnoticed', async () => {
  const begun = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<void>()
  const outcome = Promise.withResolvers<[number, unknown]>()
  await using server = await serveListener(async (_request, platform) => {
    let size = 0
    try {
      for await (const chunk of platform.body ?? []) {
        size += chunk.byteLength
        begun.resolve()
        await gone.promise
      }
      outcome.resolve([size, null])
    } catch (error) {
      outcome.resolve([size, error])
    }
    return new Response()
  })
  server.server.on('connection', (socket) => socket.once('close', gone.resolve))
  using client = await rawClient(server.port)
  client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n0123456789')
  await begun.promise
  // More than is read ahead, and not so much that the end of the connection goes unseen.
  client.socket.end('x'.repeat(256 * 1024 + 20_000))
  const [size, error] = await outcome.promise
  assert.equal(size, 256 * 1024 + 20_010)
  assert.ok(error instanceof Error)
})

test('a body that a parser has read before throws instead of seeming empty', async () => {
  const listener = toNodeListener(
    fakeHandler((_request, platform) =>
      collect(platform.body).then(
        () => new Response('empty'),
        (error: unknown) => new Response(String(error), { status: 500 }),
      ),
    ),
  )
  const server = createServer((incoming, outgoing) => {
    incoming.resume().once('end', () => listener(incoming, outgoing))
  })
  const port = await listen(server)
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'PATCH', body: 'abc' })
  assert.equal(answer.status, 500)
  assert.match(await answer.text(), /read by something else/)
  await stop(server)
})

test('an answer that does not wait for the body says Connection: close and reaches a client that goes on sending', async () => {
  const answers = {
    '/unread': async () => {},
    '/begun': async (body?: AsyncIterable<Uint8Array>) => {
      for await (const _chunk of body ?? []) break
    },
  }
  await using server = await serveListener(async (request, platform) => {
    const path = new URL(request.url).pathname
    await (path === '/begun' ? answers['/begun'](platform.body) : answers['/unread']())
    return new Response('refused', { status: 413 })
  })
  for (const path of Object.keys(answers)) {
    using client = await rawClient(server.port)
    const size = 16 * 1024 * 1024
    client.socket.write(`PATCH ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
    client.socket.write(Buffer.alloc(size))
    assert.equal(await client.closed, null, path)
    assert.match(client.received(), /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n[^]*refused/, path)
  }
})

test('the rest of a refused body is not read for ever', async () => {
  await using server = await serveListener(() => Promise.resolve(new Response('refused', { status: 413 })))
  using client = await rawClient(server.port)
  client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const piece = Buffer.from(`100000\r\n${'x'.repeat(0x100000)}\r\n`)
  const send = () => {
    while (!client.socket.destroyed && client.socket.write(piece));
  }
  client.socket.on('drain', send)
  send()
  await client.closed
  assert.match(client.received(), /^HTTP\/1\.1 413 /)
})

test('a client that trickles the rest of a refused body is cut off after two seconds', async () => {
  await using server = await serveListener(() => Promise.resolve(new Response('refused', { status: 413 })))
  using client = await rawClient(server.port, { allowHalfOpen: true })
  const started = performance.now()
  client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n')
  const trickle = setInterval(() => client.socket.write('x'), 100)
  await client.closed
  clearInterval(trickle)
  assert.match(client.received(), /^HTTP\/1\.1 413 /)
  const took = performance.now() - started
  assert.ok(took > 1_900 && took < 4_000, `${took} ms`)
})

test('a body that arrived but was not read, or not all of it, leaves the connection usable', async () => {
  let begun = Promise.withResolvers<void>()
  await using server = await serveListener(async (request, platform) => {
    const { pathname } = new URL(request.url)
    if (pathname === '/begun') for await (const _chunk of platform.body ?? []) break
    begun.resolve()
    // Until the rest has arrived.
    await new Promise((resolve) => setTimeout(resolve, 100))
    return new Response(pathname)
  })
  using client = await rawClient(server.port)
  for (const path of ['/begun', '/begun', '/begun']) {
    begun = Promise.withResolvers<void>()
    const before = client.received().length
    // Just what fills the stream's buffer, so that it has stopped reading when the last byte is in.
    const rest = 65_536
    client.socket.write(`PATCH ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${rest + 10}\r\n\r\n${'x'.repeat(10)}`)
    await begun.promise
    client.socket.write('x'.repeat(rest))
    await client.until(new RegExp(`^HTTP/1\\.1 200 [^]*${path}`), before)
    assert.doesNotMatch(client.received().slice(before), /connection: close/i)
  }
  for (let i = 0; i < 3; i += 1) {
    const before = client.received().length
    client.socket.write(`PATCH /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n${'x'.repeat(30_000)}`)
    await client.until(/^HTTP\/1\.1 200 [^]*\/unread/, before)
  }
})
