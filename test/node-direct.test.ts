/** Bodies that are read from the socket past Node's parser, as the command does. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, IncomingMessage } from 'node:http'
import { connect, createServer as createNetServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { bodyBlocks, giveBodyBlock } from '../src/node/body-blocks.ts'
import { chunkFreer } from '../src/node/free.ts'
import { nodeListener } from '../src/node/listener.ts'
import { fakeHandler, listen, rawClient, serveListener, stop } from './node-support.ts'

const MiB = 1 << 20
const directFrom = 64 * 1024

/** Bytes that tell where they belong. */
function numbered(length: number, seed = 0): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let index = 0; index < words.length; index++) words[index] = index * 2_654_435_761 + seed
  return Buffer.from(words.buffer, 0, length)
}

const head = (length: number, more = '') => `PATCH / HTTP/1.1\r\nHost: a\r\n${more}Content-Length: ${length}\r\n\r\n`

/** A server that answers each body with its length and hash, and says how many of its bytes came past the parser. */
async function hashing(onChunk?: (chunk: Uint8Array) => Promise<void>) {
  const seen = { direct: 0, bodies: 0 }
  const server = await serveListener(
    async (_request, { body = [] }) => {
      const hash = createHash('sha1')
      let bytes = 0
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        hash.update(chunk)
        bytes += chunk.length
        await onChunk?.(chunk)
        if (giveBodyBlock(chunk)) seen.direct += chunk.length
      }
      seen.bodies++
      return new Response(`${bytes} ${hash.digest('hex')}\n`)
    },
    { directFrom },
  )
  return { ...server, seen, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

/** The answer of `hashing`, among its framing. */
const answered = /\d+ [0-9a-f]{40}\n/
const told = (body: Buffer) => `${body.length} ${createHash('sha1').update(body).digest('hex')}\n`

test('bodies of all sizes on one connection, one after the other: each is whole, long ones come past the parser', async () => {
  await using server = await hashing()
  using client = await rawClient(server.port)
  for (const [seed, length] of [3 * MiB, 1, 64 * 1024, 70 * MiB, 100_000, 0, 2 * MiB + 1].entries()) {
    const body = numbered(length, seed)
    const from = client.received().length
    client.socket.write(head(length))
    client.socket.write(body)
    assert.equal(answered.exec(await client.until(answered, from))?.[0], told(body), `body ${seed}`)
  }
  assert.ok(server.seen.direct > 70 * MiB, `${server.seen.direct} bytes`)
})

test('three requests in one go, bodies and all: answered in order, nothing of one in the other', async () => {
  await using server = await hashing()
  using client = await rawClient(server.port)
  const bodies = [2 * MiB, 0, MiB + 5].map(numbered)
  client.socket.write(Buffer.concat(bodies.flatMap((body) => [Buffer.from(head(body.length)), body])))
  await client.until(/(\d+ [0-9a-f]{40}\n[^]*){3}/)
  assert.deepEqual(client.received().match(/\d+ [0-9a-f]{40}\n/g), bodies.map(told))
})

test('thousands of small requests behind a long body: no more begin at once than where Node reads for its parser', async () => {
  let now = 0
  let most = 0
  let begun = 0
  await using server = await serveListener(
    async (request, { body = [] }) => {
      begun++
      // Ticks come behind each read.
      if (now++ === 0)
        process.nextTick(() => {
          most = Math.max(most, now)
          now = 0
        })
      for await (const chunk of body as AsyncIterable<Uint8Array>) giveBodyBlock(chunk)
      return new Response(request.url.endsWith('/last') ? 'the last one' : '')
    },
    { directFrom },
  )
  using client = await rawClient(server.port)
  const small = 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n'
  const count = 20_000
  const requests = `${small.repeat(count)}GET /last HTTP/1.1\r\nHost: a\r\n\r\n`
  client.socket.write(Buffer.concat([Buffer.from(head(3 * MiB)), numbered(3 * MiB), Buffer.from(requests)]))
  await client.until(/the last one/)
  assert.equal(begun, count + 2)
  assert.ok(most <= Math.ceil((64 * 1024) / small.length), `${most} in one go`)
})

test('a client that is faster than whoever takes its bytes on this thread: others have their turn after each MiB', async () => {
  let turns = 0
  let ended = false
  /** Bytes taken in one turn of the event loop, at most. */
  let most = 0
  let taken = 0
  const count = () => {
    turns++
    taken = 0
    if (!ended) setImmediate(count)
  }
  await using server = await hashing((chunk) => {
    taken += chunk.length
    most = Math.max(most, taken)
    // As a write takes its time.
    for (const until = performance.now() + 1; performance.now() < until;);
    return Promise.resolve()
  })
  count()
  const length = 64 * MiB
  const program = `const socket = require('node:net').connect(${server.port}, '127.0.0.1')
    socket.write(${JSON.stringify(head(length))})
    socket.write(Buffer.alloc(${length}))
    socket.once('data', () => process.exit())`
  const client = spawn(process.execPath, ['--eval', program])
  assert.deepEqual(await once(client, 'exit'), [0, null])
  ended = true
  assert.ok(most <= 1.5 * MiB, `${most} bytes in one turn`)
  assert.ok(turns >= 40, `${turns} turns`)
})

test('a body in pieces of odd sizes, whose reader is slow: whole, in order, and not read ahead of it', async () => {
  let waiting = true
  const { promise: go, resolve: letGo } = Promise.withResolvers<void>()
  await using server = await hashing(async () => {
    if (waiting) await go
    else await nextTurn()
  })
  using client = await rawClient(server.port)
  const body = numbered(48 * MiB)
  client.socket.write(head(body.length))
  let sent = 0
  for (let size = 1; sent < body.length; size = (size * 7 + 3) % 200_003) {
    const piece = body.subarray(sent, (sent += size))
    if (client.socket.write(piece)) continue
    const drained = once(client.socket, 'drain')
    // What the sockets hold, and little more, has been taken when it stands still.
    if (waiting && (await isSettled(drained, client.socket))) {
      assert.ok(sent < 24 * MiB, `${sent} bytes were taken`)
      waiting = false
      letGo()
    }
    await drained
  }
  assert.ok(!waiting, 'it never stood still')
  assert.equal(answered.exec(await client.until(answered))?.[0], told(body))
})

/** Whether a socket has stopped sending: what it has not sent stays the same over many turns of the loop. */
async function isSettled(drained: Promise<unknown>, socket: { readonly writableLength: number }): Promise<boolean> {
  let isDrained = false
  void drained.then(() => (isDrained = true))
  for (let turn = 0; turn < 2_000 && !isDrained; turn++) await nextTurn()
  return !isDrained && socket.writableLength > 0
}

test('a connection that breaks in the middle: what came is handed over, then it throws', async () => {
  const { promise, resolve } = Promise.withResolvers<{ bytes: Buffer; error: unknown }>()
  await using server = await serveListener(
    async (_request, { body = [] }) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of body as AsyncIterable<Uint8Array>) chunks.push(Buffer.from(chunk))
      } catch (error) {
        resolve({ bytes: Buffer.concat(chunks), error })
      }
      return new Response('done')
    },
    { directFrom },
  )
  const body = numbered(3 * MiB)
  using client = await rawClient(server.port)
  client.socket.write(head(10 * MiB))
  // Half-closed: all of it is there to be read before the end.
  client.socket.end(body)
  const { bytes, error } = await promise
  assert.ok(error instanceof Error)
  assert.ok(bytes.equals(body), `${bytes.length} bytes`)
})

test('a few bytes, then silence: they are handed over without the next ones', async () => {
  const { promise: first, resolve } = Promise.withResolvers<number>()
  await using server = await hashing((chunk) => Promise.resolve(resolve(chunk.length)))
  using client = await rawClient(server.port)
  const body = numbered(MiB)
  client.socket.write(head(body.length))
  await nextTurn()
  client.socket.write(body.subarray(0, 40_000))
  assert.ok((await first) > 0)
  client.socket.write(body.subarray(40_000))
  assert.equal(answered.exec(await client.until(answered))?.[0], told(body))
})

test('a reader that leaves early: the client gets its answer, nothing more is taken, the connection closes', async () => {
  await using server = await serveListener(
    async (_request, { body = [] }) => {
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        return new Response(`enough: ${chunk.length > 0}`, { status: 413 })
      }
      return new Response('nothing')
    },
    { directFrom },
  )
  using client = await rawClient(server.port)
  client.socket.write(head(400 * MiB))
  client.socket.write(numbered(20 * MiB))
  const answer = await client.until(/enough: true/)
  assert.match(answer, /^HTTP\/1\.1 413 [^]*connection: close/i)
  await client.closed
})

test('a long body behind a long answer that nobody takes yet: it waits, and is whole once that is taken', async () => {
  const answer = numbered(8 * MiB)
  let isHeldBack = () => false
  const { promise: come, resolve } = Promise.withResolvers<boolean>()
  await using server = await serveListener(
    async (request, { body = [] }) => {
      if (request.method === 'GET') return new Response(new Uint8Array(answer))
      if (request.url.endsWith('/behind')) resolve(isHeldBack())
      const hash = createHash('sha1')
      let bytes = 0
      for await (const chunk of body as AsyncIterable<Uint8Array>) {
        hash.update(chunk)
        bytes += chunk.length
      }
      return new Response(`${bytes} ${hash.digest('hex')}\n`)
    },
    { directFrom },
  )
  server.server.once('connection', (socket: { _paused?: boolean }) => (isHeldBack = () => socket._paused === true))
  using client = await rawClient(server.port)
  const body = numbered(2 * MiB)
  client.socket.write(head(body.length))
  client.socket.write(body)
  await client.until(answered)
  client.socket.pause()
  client.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  // The answer to it is on its way.
  for (let turn = 0; turn < 50; turn++) await nextTurn()
  client.socket.write(head(body.length).replace('/', '/behind'))
  client.socket.write(body)
  assert.ok(await come, 'the connection is not held back')
  for (let turn = 0; turn < 50; turn++) await nextTurn()
  const from = client.received().length
  client.socket.resume()
  assert.equal(answered.exec(await client.until(answered, from + answer.length))?.[0], told(body))
})

test('an answer without reading the body: as with any other', async () => {
  await using server = await serveListener(() => Promise.resolve(new Response('no', { status: 403 })), { directFrom })
  using client = await rawClient(server.port)
  client.socket.write(head(5 * MiB))
  client.socket.write(numbered(5 * MiB))
  assert.match(await client.until(/no\r\n/), /^HTTP\/1\.1 403 /)
})

test('a client that waits to be asked (100-continue): asked once, body whole', async () => {
  await using server = await hashing()
  using client = await rawClient(server.port)
  const body = numbered(2 * MiB)
  client.socket.write(head(body.length, 'Expect: 100-continue\r\n'))
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/)
  client.socket.write(body)
  assert.equal(answered.exec(await client.until(answered))?.[0], told(body))
  assert.ok(server.seen.direct > MiB)
})

test('on a Unix socket: the same', async () => {
  const server = createServer(nodeListener(fakeHandler(echoLength), { directFrom }))
  const path = join(tmpdir(), `fileloft-direct-${process.pid}.sock`)
  server.listen(path)
  await once(server, 'listening')
  await using _ = { [Symbol.asyncDispose]: () => stop(server) }
  const socket = connect(path)
  socket.write(head(3 * MiB))
  socket.write(numbered(3 * MiB))
  socket.setEncoding('latin1')
  let answer = ''
  while (!answer.includes('direct')) answer += String((await once(socket, 'data'))[0])
  socket.destroy()
  assert.match(answer, /3145728, direct: true/)
})

test('a stream of another kind than a socket: through the parser', async () => {
  const http = createServer(nodeListener(fakeHandler(echoLength), { directFrom }))
  const server = createNetServer((socket) => {
    const stream = Duplex.from({ readable: socket, writable: socket })
    stream.on('error', () => socket.destroy())
    http.emit('connection', stream)
  })
  const port = await listen(server)
  await using _ = { [Symbol.asyncDispose]: () => stop(server) }
  using client = await rawClient(port)
  client.socket.write(head(3 * MiB, 'Connection: close\r\n'))
  client.socket.write(numbered(3 * MiB))
  assert.match(await client.until(/direct: \w+/), /3145728, direct: false/)
  client.socket.end()
})

async function echoLength(_request: Request, { body = [] }: { body?: AsyncIterable<Uint8Array> | never[] }) {
  let bytes = 0
  let direct = false
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (giveBodyBlock(chunk)) direct = true
  }
  return new Response(`${bytes}, direct: ${direct}`)
}

test("a chunk that is freed twice, once its block is another body's: that one keeps it", () => {
  const chunks: Uint8Array[] = []
  const blocks = bodyBlocks((chunk) => chunks.push(chunk))
  const free = chunkFreer(new IncomingMessage(new Socket()), () => {})
  blocks.add(numbered(512 * 1024, 1))
  const [first = new Uint8Array()] = chunks
  free?.(first)
  const bytes = numbered(512 * 1024, 2)
  blocks.add(bytes)
  const [, second = new Uint8Array()] = chunks
  assert.equal(second.buffer, first.buffer, 'the block is used again')
  free?.(first)
  assert.ok(bytes.equals(second), `${second.length} bytes`)
  blocks.add(numbered(512 * 1024, 3))
  blocks.end()
  assert.notEqual(chunks[2]?.buffer, second.buffer)
  assert.ok(giveBodyBlock(second), 'it can be given back still')
})
