import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Incoming, Outgoing } from '../src/node/platform.ts'
import { writeResponse } from '../src/node/response.ts'
import { cutWhenStuck } from '../src/node/stuck.ts'
import { listen, portOf, rawClient, stop } from './node-support.ts'

const timeoutMs = 500

/** Answers with a download that never ends; tells when its source is let go. */
function endless(): { listener: (incoming: Incoming, outgoing: Outgoing) => void; cancelled: Promise<void> } {
  const cancelled = Promise.withResolvers<void>()
  const listener = (incoming: Incoming, outgoing: Outgoing) => {
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(256 * 1024)),
      cancel: () => cancelled.resolve(),
    })
    cutWhenStuck(incoming, outgoing, timeoutMs)
    void writeResponse(new Response(body), outgoing, false)
  }
  return { listener, cancelled: cancelled.promise }
}

test('a download that its client stops reading ends, over HTTP/1.1', async () => {
  const { listener, cancelled } = endless()
  const server = createServer(listener)
  using client = await rawClient(await listen(server))
  client.socket.pause()
  client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await cancelled
  await stop(server)
})

test('a download that its client stops reading ends, over HTTP/2, and the connection goes on', async () => {
  const { listener, cancelled } = endless()
  const server = createHttp2Server((incoming, outgoing) => {
    if (incoming.url === '/other') outgoing.end('fine')
    else listener(incoming, outgoing)
  })
  await listen(server)
  const session = connectHttp2(`http://127.0.0.1:${portOf(server)}`)
  const request = session.request({ ':path': '/' })
  request.on('error', () => {})
  request.pause()
  await cancelled
  assert.equal(await text(session.request({ ':path': '/other' })), 'fine')
  session.destroy()
  await stop(server)
})

test('a download that waits for its storage, or whose client reads slowly, is not cut', async () => {
  const server = createServer((incoming, outgoing) => {
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(Buffer.from('first '))
        await delay(3 * timeoutMs)
        controller.enqueue(Buffer.from('last'))
        controller.close()
      },
    })
    cutWhenStuck(incoming, outgoing, timeoutMs)
    void writeResponse(new Response(body), outgoing, false)
  })
  const port = await listen(server)
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'first last')

  const size = 24 * 1024 * 1024
  server.removeAllListeners('request').on('request', (incoming: Incoming, outgoing: Outgoing) => {
    cutWhenStuck(incoming, outgoing, timeoutMs)
    void writeResponse(new Response(new Uint8Array(size)), outgoing, false)
  })
  using client = await rawClient(port)
  client.socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  let read = 0
  client.socket.on('data', (chunk: Buffer) => {
    read += chunk.length
    client.socket.pause()
    // Often enough to be alive, and longer in all than the time allowed without a byte.
    setTimeout(() => client.socket.resume(), 1)
  })
  await once(client.socket, 'end')
  assert.ok(read > size, `${read} bytes of ${size}`)
  await stop(server)
})
