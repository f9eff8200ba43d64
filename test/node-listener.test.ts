import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createHttp2Server, connect as connectHttp2, constants } from 'node:http2'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { toNodeListener } from '../src/node/index.ts'
import { collect, exchange, fakeHandler, listen, portOf, rawClient, serveListener, stop } from './node-support.ts'

const echoUrl = (request: Request) => Promise.resolve(new Response(request.url))

test('the request line becomes the URL, with the Host as it was sent', async () => {
  await using server = await serveListener(echoUrl)
  const cases = [
    ['GET /files/a?b=c HTTP/1.1\r\nHost: up.example.com:81', 'http://up.example.com:81/files/a?b=c'],
    ['GET /files HTTP/1.1\r\nHost: [::1]:8080', 'http://[::1]:8080/files'],
    ['GET //evil.example/x HTTP/1.1\r\nHost: a', 'http://a//evil.example/x'],
    ['GET http://proxied.example/files/a?b HTTP/1.1\r\nHost: a', 'http://a/files/a?b'],
    ['OPTIONS * HTTP/1.1\r\nHost: a', 'http://a/'],
  ]
  for (const [head, expected] of cases) {
    const answer = await exchange(server.port, `${head}\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.ok(answer.includes(`\r\n${expected}\r\n`), `${head}: ${answer}`)
  }
})

test('a Host that is missing or no host at all is answered as localhost', async () => {
  await using server = await serveListener(echoUrl)
  const hosts = ['', 'Host:', 'Host: a b', 'Host: a/b', 'Host: a@b', 'Host: "><script>', 'Host: a:999999', 'Host: [::']
  for (const host of hosts) {
    const answer = await exchange(server.port, `GET /files HTTP/1.0\r\n${host === '' ? '' : `${host}\r\n`}\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /, host)
    assert.ok(answer.endsWith('\r\n\r\nhttp://localhost/files'), `${host}: ${answer}`)
  }
})

test('a request that Fetch does not know is answered 400', async () => {
  await using server = await serveListener(echoUrl)
  for (const line of ['TRACE /files HTTP/1.1', 'GET ftp//broken HTTP/1.1']) {
    const answer = await exchange(server.port, `${line}\r\nHost: a\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, line)
  }
})

test('mounted by Express under a prefix, the URL is the original one', async () => {
  const listener = toNodeListener(fakeHandler(echoUrl))
  const server = createServer((incoming, outgoing) => {
    Object.assign(incoming, { originalUrl: incoming.url, url: '/a' })
    listener(incoming, outgoing)
  })
  const port = await listen(server)
  const answer = await fetch(`http://127.0.0.1:${port}/files/a?b=c`)
  assert.equal(await answer.text(), `http://127.0.0.1:${port}/files/a?b=c`)
  await stop(server)
})

test('request headers arrive, repeated ones joined', async () => {
  await using server = await serveListener(({ headers, method }) =>
    Promise.resolve(Response.json([headers.get('upload-offset'), headers.get('upload-metadata'), method])),
  )
  const head = 'PUT /files HTTP/1.1\r\nHost: a\r\nUpload-Offset: 1\r\nUpload-Offset: 2\r\nUpload-Metadata: a YQ==\r\n'
  const answer = await exchange(server.port, `${head}Connection: close\r\n\r\n`)
  assert.match(answer, /\["1, 2","a YQ==","PUT"\]/)
})

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

test('Expect: 100-continue is answered when the body is first read, and not when the request is refused', async () => {
  await using server = await serveListener(async (request, platform) => {
    if (request.url.endsWith('/refused')) return new Response('no', { status: 403 })
    return new Response(new Uint8Array(await collect(platform.body)))
  })
  const head = (path: string) =>
    `PATCH ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`
  using taken = await rawClient(server.port)
  taken.socket.write(head('/taken'))
  assert.equal(await taken.until(/\r\n\r\n/), 'HTTP/1.1 100 Continue\r\n\r\n')
  taken.socket.write('hello')
  assert.match(await taken.until(/hello/), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)

  using refused = await rawClient(server.port)
  refused.socket.write(head('/refused'))
  assert.match(await refused.until(/no/), /^HTTP\/1\.1 403 [^]*Connection: close/)
})

test('a response body is streamed with back-pressure, and cancelled when the client goes', async () => {
  let pulled = 0
  const cancelled = Promise.withResolvers<void>()
  await using server = await serveListener(() =>
    Promise.resolve(
      new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            pulled += 1
            controller.enqueue(new Uint8Array(1024 * 1024))
          },
          cancel: () => cancelled.resolve(),
        }),
      ),
    ),
  )
  using client = await rawClient(server.port)
  client.socket.pause()
  client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  let before = -1
  while (before !== pulled || pulled === 0) {
    before = pulled
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(pulled < 64, `${pulled} MiB went out to a client that does not read`)
  client.socket.destroy()
  await cancelled.promise
})

test('a response body that fails midway breaks the connection, so that nobody takes it for whole', async () => {
  await using server = await serveListener(() =>
    Promise.resolve(
      new Response(
        new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(Buffer.from('begin')),
          pull: (controller) => controller.error(new Error('disk')),
        }),
      ),
    ),
  )
  const answer = await exchange(server.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  assert.ok(!answer.endsWith('0\r\n\r\n'), answer)
})

test('HEAD, 204 and 304 are answered without a body, and its source is let go', async () => {
  const cancelled: string[] = []
  await using server = await serveListener((request) => {
    const status = Number(new URL(request.url).pathname.slice(1))
    if (status !== 200) return Promise.resolve(new Response(null, { status, headers: { 'X-Status': String(status) } }))
    const body = new ReadableStream<Uint8Array>({ cancel: () => void cancelled.push(request.method) })
    return Promise.resolve(new Response(body, { headers: { 'Content-Length': '5' } }))
  })
  for (const [line, expected] of [
    ['HEAD /200', /^HTTP\/1\.1 200 OK\r\ncontent-length: 5\r\n/],
    ['DELETE /204', /^HTTP\/1\.1 204 No Content\r\nx-status: 204\r\n/],
    ['GET /304', /^HTTP\/1\.1 304 Not Modified\r\nx-status: 304\r\n/],
  ] as const) {
    const answer = await exchange(server.port, `${line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    assert.match(answer, expected)
    assert.ok(answer.endsWith('\r\n\r\n'), answer)
  }
  assert.deepEqual(cancelled, ['HEAD'])
})

test('several Set-Cookie headers stay several', async () => {
  await using server = await serveListener(() => {
    const headers = new Headers([
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
    ])
    return Promise.resolve(new Response(null, { headers }))
  })
  const answer = await fetch(`http://127.0.0.1:${server.port}/`)
  assert.deepEqual(answer.headers.getSetCookie(), ['a=1', 'b=2'])
})

test('HTTP/2: a body arrives whole, a reset one throws, a refused one is reset without an error', async () => {
  const outcome = Promise.withResolvers<unknown>()
  const listener = toNodeListener(
    fakeHandler(async (request, platform) => {
      const { pathname } = new URL(request.url)
      if (pathname === '/refused') return new Response('refused', { status: 413 })
      try {
        return new Response(String((await collect(platform.body)).length) + request.url)
      } catch (error) {
        outcome.resolve(error)
        throw error
      }
    }),
  )
  const server = createHttp2Server(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${portOf(server)}`
  const session = connectHttp2(origin)
  const send = (path: string) => session.request({ ':method': 'PATCH', ':path': path }, { endStream: false })

  const whole = send('/whole')
  whole.end(Buffer.alloc(2_000_000))
  assert.equal(await text(whole), `2000000${origin}/whole`)

  const none = session.request({ ':method': 'POST', ':path': '/none' })
  assert.equal(await text(none.end()), `0${origin}/none`)

  // By hand: Node's client ends a stream properly before it resets it.
  using raw = await rawClient(portOf(server))
  raw.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  raw.socket.write(frame(4, 0, 0, Buffer.alloc(0)))
  const head = { ':method': 'PATCH', ':path': '/reset', ':scheme': 'http', ':authority': 'a' }
  raw.socket.write(frame(1, 4, 1, Buffer.concat(Object.entries(head).map(literal))))
  raw.socket.write(frame(0, 0, 1, Buffer.alloc(1000)))
  raw.socket.write(frame(3, 0, 1, Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL])))
  assert.ok((await outcome.promise) instanceof Error)

  const refused = send('/refused')
  refused.write(Buffer.alloc(1000))
  refused.setEncoding('utf8')
  let answer = ''
  refused.on('data', (chunk: string) => {
    answer += chunk
  })
  const [headers] = (await once(refused, 'response')) as [{ ':status': number }]
  assert.equal(headers[':status'], 413)
  await once(refused, 'close')
  assert.equal(answer, 'refused')
  assert.equal(refused.rstCode, constants.NGHTTP2_NO_ERROR)

  session.close()
  await stop(server)
})

test('a thousand requests on one connection leave no listener behind', async () => {
  const warnings: unknown[] = []
  const onWarning = (warning: unknown) => void warnings.push(warning)
  process.on('warning', onWarning)
  await using server = await serveListener(async (_request, platform) => {
    return new Response(String((await collect(platform.body)).length))
  })
  const sockets = new Set<Socket>()
  server.server.on('request', (incoming) => sockets.add(incoming.socket))
  using client = await rawClient(server.port)
  let counts: number[] = []
  for (let i = 1; i <= 1000; i += 1) {
    const before = client.received().length
    client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
    await client.until(/\r\n0\r\n\r\n$/, before)
    const [socket] = sockets
    const now = ['close', 'error', 'end', 'data', 'drain'].map((name) => socket?.listenerCount(name) ?? 0)
    if (i === 10) counts = now
    if (i > 10) assert.deepEqual(now, counts)
  }
  assert.equal(sockets.size, 1)
  process.off('warning', onWarning)
  assert.deepEqual(warnings, [])
})

/** One HTTP/2 frame. */
function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

/** A header field as HPACK writes it without compression. */
function literal([name, value]: [string, string]): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ])
}
