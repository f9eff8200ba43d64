import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { rawClient, serveListener } from './node-support.ts'

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

for (const [title, listen, left] of [
  ['a chunk that is freed: its memory is gone at once', () => {}, 0],
  [
    'a chunk that is freed where somebody else has listened to the request: it stays, for it may have been kept',
    (incoming: IncomingMessage) => void incoming.on('data', () => {}).pause(),
    20_000,
  ],
] as const) {
  test(title, async () => {
    const sizes: number[] = []
    await using server = await serveListener(async (_request, { body, freeChunk }) => {
      assert.ok(body && freeChunk)
      for await (const chunk of body) {
        const { buffer } = chunk
        freeChunk(chunk)
        sizes.push(buffer.byteLength)
      }
      return new Response('done')
    })
    server.server.prependListener('request', listen)
    using client = await rawClient(server.port)
    client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n')
    client.socket.end(Buffer.alloc(20_000, 'x'))
    await client.closed
    assert.match(client.received(), /^HTTP\/1\.1 200 /)
    assert.ok(sizes.length > 0)
    assert.equal(
      sizes.reduce((sum, size) => sum + size),
      left,
    )
  })
}
