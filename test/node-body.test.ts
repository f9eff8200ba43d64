import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { chunkFreer } from '../src/node/free.ts'
import { nodePlatform } from '../src/node/platform.ts'
import { listen, rawClient, serveListener, stop } from './node-support.ts'

const chunked = 'PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'

test('200,000 chunks of one byte, read slowly: they arrive in order, few at a time, for little CPU time', async () => {
  const count = 200_000
  const letter = (i: number) => 97 + (i % 26)
  let seen = 0
  let handedOver = 0
  await using server = await serveListener(async (_request, { body }) => {
    assert.ok(body)
    for await (const chunk of body) {
      for (const byte of chunk) assert.equal(byte, letter(seen++))
      handedOver += 1
      if (handedOver % 512 === 0) await nextTurn()
    }
    return new Response('done')
  })
  using client = await rawClient(server.port)
  let wire = chunked
  for (let i = 0; i < count; i++) wire += `1\r\n${String.fromCharCode(letter(i))}\r\n`
  const before = process.cpuUsage()
  client.socket.write(`${wire}0\r\n\r\n`)
  await client.closed
  const { user, system } = process.cpuUsage(before)
  assert.match(client.received(), /^HTTP\/1\.1 200 [^]*done/)
  assert.equal(seen, count)
  assert.ok(handedOver < count / 10, `${handedOver} chunks were handed over`)
  assert.ok(user + system < 4_000_000, `${(user + system) / 1e6} s of CPU time`)
})

test('large chunks between small ones are handed over as they came, all bytes in order', async () => {
  const sizes = [1, 3, 5_000, 2, 2, 9_000, 20_000, 7]
  const parts = sizes.map((size, i) => Buffer.alloc(size, i + 1))
  const received: Buffer[] = []
  await using server = await serveListener(async (_request, { body }) => {
    assert.ok(body)
    for await (const chunk of body) received.push(Buffer.from(chunk))
    return new Response('done')
  })
  using client = await rawClient(server.port)
  client.socket.cork()
  client.socket.write(chunked)
  for (const part of parts) {
    client.socket.write(`${part.length.toString(16)}\r\n`)
    client.socket.write(part)
    client.socket.write('\r\n')
  }
  client.socket.end('0\r\n\r\n')
  client.socket.uncork()
  await client.closed
  assert.match(client.received(), /^HTTP\/1\.1 200 /)
  assert.ok(Buffer.concat(received).equals(Buffer.concat(parts)))
})

test('a chunk that our own server frees: its memory is gone at once, and counted', async () => {
  const sizes: number[] = []
  let freed = 0
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing))
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const free = chunkFreer(incoming, (size) => (freed += size))
    assert.ok(free)
    for await (const chunk of nodePlatform(incoming, outgoing).body) {
      const { buffer } = chunk
      free(chunk)
      sizes.push(buffer.byteLength)
    }
    outgoing.end('done')
  }
  const port = await listen(server)
  await using _ = { [Symbol.asyncDispose]: () => stop(server) }
  using client = await rawClient(port)
  client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n')
  client.socket.end(Buffer.alloc(20_000, 'x'))
  await client.closed
  assert.match(client.received(), /^HTTP\/1\.1 200 /)
  assert.deepEqual([Math.max(...sizes), freed], [0, 20_000])
})

test('toNodeListener, below whatever hands over a request: nothing is freed, for somebody may hold the same bytes', async () => {
  let frees: unknown = 'unknown'
  await using server = await serveListener(async (_request, { freeChunk }) => {
    frees = freeChunk
    return new Response('done')
  })
  using client = await rawClient(server.port)
  client.socket.end('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello')
  await client.closed
  assert.equal(frees, undefined)
})
