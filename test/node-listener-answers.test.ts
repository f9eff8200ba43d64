/** The listener for Node's servers: answers and their bodies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, rawClient, serveListener } from './node-support.ts'

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
