import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { after, suite, test } from 'node:test'
import { storageFetch } from '../src/node/storage-fetch.ts'
import type { S3RequestInit } from '../src/stores/s3.ts'
import { bytesOf } from './suites/bodies.ts'

const sockets = new Set<Socket>()

/** Each request is answered by its path. */
const server = http.createServer((request, response) => {
  sockets.add(request.socket)
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://x')
  const received: Buffer[] = []
  request.on('data', (piece: Buffer) => {
    received.push(piece)
    arrived.emit('piece', piece)
  })
  request.on('error', () => arrived.emit('broken'))
  if (pathname === '/refused') return void response.writeHead(503, { 'content-length': 4 }).end('busy')
  request.on('end', () => {
    switch (pathname) {
      case '/echo':
        response.setHeader('x-method', request.method ?? '')
        response.setHeader('x-sent', JSON.stringify(request.headers))
        response.setHeader('x-path', request.url ?? '')
        return response.end(request.method === 'HEAD' ? undefined : Buffer.concat(received))
      case '/status':
        return response.writeHead(Number(searchParams.get('code')), { location: '/echo' }).end()
      case '/large':
        response.setHeader('content-length', large.length)
        return response.end(large)
      case '/chunks':
        response.write('one ')
        return setImmediate(() => response.end('two'))
      case '/cut':
        response.writeHead(200, { 'content-length': searchParams.get('length') ?? '' })
        response.write('some')
        return setImmediate(() => request.socket.destroy())
      case '/reset':
        return request.socket.destroy()
      case '/silent':
        return silent.emit('request')
    }
    return response.writeHead(500).end()
  })
})
/** Hears of bytes that arrive. */
const arrived = new EventEmitter()
/** Hears of requests that are not answered. */
const silent = new EventEmitter()
const large = bytesOf(3_000_000)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
after(() => {
  server.closeAllConnections()
  server.close()
})

const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const fetch = storageFetch()

function init(method: S3RequestInit['method'], more: Partial<S3RequestInit> = {}): S3RequestInit {
  return { method, headers: new Headers(), redirect: 'manual', signal: new AbortController().signal, ...more }
}

suite('storageFetch', () => {
  test('PUT with bytes of a view: these bytes with their length, path and headers as given', async () => {
    const whole = bytesOf(200_000)
    const body = whole.subarray(1000, 150_000)
    const headers = new Headers({ 'x-amz-date': 'now', 'Content-Type': 'text/plain' })
    const response = await fetch(`${base}/echo?a=%20%2B&b=`, init('PUT', { body, headers }))
    assert.equal(response.status, 200)
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), body)
    const sent = JSON.parse(response.headers.get('x-sent') ?? '') as Record<string, string>
    assert.equal(sent['content-length'], '149000')
    assert.equal(sent['transfer-encoding'], undefined)
    assert.equal(sent['x-amz-date'], 'now')
    assert.equal(sent['content-type'], 'text/plain')
    assert.equal(sent['host'], base.slice('http://'.length))
    assert.equal(response.headers.get('x-path'), '/echo?a=%20%2B&b=')
  })

  test('POST with text and POST with nothing: both with their length', async () => {
    const response = await fetch(`${base}/echo`, init('POST', { body: 'späße' }))
    assert.equal(await response.text(), 'späße')
    const empty = await fetch(`${base}/echo`, init('POST'))
    const sent = JSON.parse(empty.headers.get('x-sent') ?? '') as Record<string, string>
    assert.equal(sent['content-length'], '0')
    assert.equal(sent['transfer-encoding'], undefined)
  })

  test('PUT with a stream: its pieces as they come, with the length of all', async () => {
    const bytes = bytesOf(3_000_000)
    async function* pieces() {
      for (let at = 0; at < bytes.length; at += 1_000_000) {
        yield bytes.subarray(at, at + 1_000_000)
        // The next one comes only after this one is there.
        await once(arrived, 'piece')
      }
    }
    const response = await fetch(`${base}/echo`, init('PUT', { stream: { size: bytes.length, pieces } }))
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes)
    const sent = JSON.parse(response.headers.get('x-sent') ?? '') as Record<string, string>
    assert.equal(sent['content-length'], '3000000')
    assert.equal(sent['transfer-encoding'], undefined)
  })

  test('PUT with a stream that is refused before its end: the answer, and nothing more is asked for', async () => {
    let asked = 0
    let isLeft = false
    async function* pieces() {
      try {
        for (;;) {
          asked++
          yield bytesOf(1000)
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      } finally {
        isLeft = true
      }
    }
    const response = await storageFetch()(`${base}/refused`, init('PUT', { stream: { size: 1_000_000_000, pieces } }))
    assert.equal(response.status, 503)
    assert.equal(await response.text(), 'busy')
    while (!isLeft) await new Promise(setImmediate)
    assert.ok(asked < 100)
  })

  test('PUT with a stream that throws, or has too few bytes: rejected, the connection is closed', async () => {
    const failure = new Error('no more')
    async function* failing() {
      const there = once(arrived, 'piece')
      yield bytesOf(1000)
      await there
      throw failure
    }
    const broken = once(arrived, 'broken')
    await assert.rejects(fetch(`${base}/echo`, init('PUT', { stream: { size: 2000, pieces: failing } })), failure)
    await broken
    async function* short() {
      yield bytesOf(1000)
    }
    await assert.rejects(fetch(`${base}/echo`, init('PUT', { stream: { size: 2000, pieces: short } })))
  })

  test('HEAD, 204, 304 and a redirect: answered as they are, without a body', async () => {
    const head = await fetch(`${base}/echo`, init('HEAD'))
    assert.equal(head.headers.get('x-method'), 'HEAD')
    for (const code of [204, 304, 301, 307]) {
      const response = await fetch(`${base}/status?code=${code}`, init('GET'))
      assert.equal(response.status, code)
      assert.equal(response.headers.get('location'), '/echo')
      assert.equal(await response.text(), '')
    }
  })

  test('a large body and one of unknown length: streamed whole', async () => {
    const response = await fetch(`${base}/large`, init('GET'))
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), large)
    assert.equal(await (await fetch(`${base}/chunks`, init('GET'))).text(), 'one two')
  })

  test('requests one after the other: one connection', async () => {
    const mine = storageFetch()
    sockets.clear()
    for (let i = 0; i < 5; i++) await (await mine(`${base}/echo`, init('PUT', { body: bytesOf(10) }))).arrayBuffer()
    for (let i = 0; i < 5; i++) await (await mine(`${base}/status?code=204`, init('DELETE'))).arrayBuffer()
    assert.equal((await mine(`${base}/large`, init('GET'))).status, 200)
    assert.equal(sockets.size, 1)
  })

  test('a body that is cut off, small or large: rejected', async () => {
    for (const length of [100, 1_000_000]) {
      await assert.rejects(async () => (await fetch(`${base}/cut?length=${length}`, init('GET'))).arrayBuffer())
    }
  })

  test('a connection that is reset, and one that is refused: rejected with the code', async () => {
    await assert.rejects(fetch(`${base}/reset`, init('GET')), { code: 'ECONNRESET' })
    await assert.rejects(fetch('http://127.0.0.1:1/', init('GET')), { code: 'ECONNREFUSED' })
  })

  test('a signal: before, while waiting and while reading, rejected with its reason', async () => {
    const reason = new Error('enough')
    await assert.rejects(fetch(`${base}/echo`, init('GET', { signal: AbortSignal.abort(reason) })), reason)
    const waiting = new AbortController()
    const asked = once(silent, 'request')
    const pending = fetch(`${base}/silent`, init('GET', { signal: waiting.signal }))
    await asked
    waiting.abort(reason)
    await assert.rejects(pending, reason)
    const reading = new AbortController()
    const response = await fetch(`${base}/large`, init('GET', { signal: reading.signal }))
    const reader = response.body?.getReader()
    await reader?.read()
    reading.abort(reason)
    await assert.rejects(async () => {
      for (;;) if ((await reader?.read())?.done !== false) return
    })
  })

  test('a body that is left: its connection is closed', async () => {
    sockets.clear()
    const response = await storageFetch()(`${base}/large`, init('GET'))
    const [socket] = sockets
    assert.ok(socket !== undefined)
    const closed = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve))
    await response.body?.cancel()
    await closed
  })
})
