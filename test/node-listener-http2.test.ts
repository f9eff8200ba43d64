/** The listener for Node's servers: HTTP/2. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttp2Server, connect as connectHttp2, constants } from 'node:http2'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { toNodeListener } from '../src/node/index.ts'
import { collect, fakeHandler, portOf, rawClient, stop } from './node-support.ts'

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
