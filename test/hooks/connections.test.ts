/** The connections over which webhooks go. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { makeCertificate, temporaryDirectory } from '../cli-support.ts'
import { listen, stop } from '../node-support.ts'
import { startServer } from '../support/server.ts'
import { create, idOf, post } from './client.ts'
import { startReceiver } from './receiver.ts'

/** A receiver that agrees to everything, with a body of so many bytes. */
async function startCounting(size: number) {
  const sockets = new Set<Socket>()
  const types: string[] = []
  const server = createServer((request, response) => {
    sockets.add(request.socket)
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      types.push((JSON.parse(body) as { Type: string }).Type)
      response.writeHead(200, { 'Content-Type': 'application/json' })
      response.end(`{}${' '.repeat(size)}`)
    })
  })
  const port = await listen(server)
  return { sockets, types, url: `http://127.0.0.1:${port}/`, [Symbol.asyncDispose]: () => stop(server) }
}

test('hooks one after the other: one connection for all of them, also those whose answer is passed over', async () => {
  await using receiver = await startCounting(1000)
  const env = {
    FILELOFT_HOOKS_URL: receiver.url,
    FILELOFT_HOOKS_EVENTS: 'pre-create,post-create',
    FILELOFT_LOG: 'debug',
  }
  await using server = await startServer({ env })
  for (let n = 0; n < 5; n++) {
    const id = idOf(await create(server.url, 5))
    await server.logged((line) => line['msg'] === 'hook delivered' && line['id'] === id)
  }
  assert.deepEqual(receiver.types, Array.from({ length: 5 }, () => ['pre-create', 'post-create']).flat())
  // The second one begins while the answer to the first one is still read, perhaps.
  assert.ok(receiver.sockets.size <= 2, `${receiver.sockets.size} connections`)
})

test('a receiver whose answer to what is only told has no end: its connection is cut, the event delivered', async () => {
  const closed = Promise.withResolvers<void>()
  const server = createServer((request, response) => {
    request.resume()
    response.writeHead(200)
    const more = () => response.write('x'.repeat(10_000)) || response.once('drain', more)
    const timer = setInterval(more, 5)
    response.on('close', () => {
      clearInterval(timer)
      closed.resolve()
    })
  })
  const port = await listen(server)
  try {
    const env = { FILELOFT_HOOKS_URL: `http://127.0.0.1:${port}/`, FILELOFT_HOOKS_EVENTS: 'post-create' }
    await using started = await startServer({ env: { ...env, FILELOFT_LOG: 'debug' } })
    await create(started.url, 5)
    await started.logged(({ msg }) => msg === 'hook delivered')
    await closed.promise
  } finally {
    await stop(server)
  }
})

test('https: a receiver whose certificate is trusted hears of everything, another one nothing; no redirect leads to http', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'receiver')
  await using plain = await startReceiver()
  const types: string[] = []
  let isMoved = false
  const receiver = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += String(chunk)))
    request.on('end', () => {
      types.push((JSON.parse(body) as { Type: string }).Type)
      if (isMoved) response.writeHead(307, { Location: plain.url }).end()
      else response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}')
    })
  })
  const port = await listen(receiver)
  const env = {
    FILELOFT_HOOKS_URL: `https://127.0.0.1:${port}/hooks?token=hunter2`,
    FILELOFT_HOOKS_EVENTS: 'pre-create',
    FILELOFT_HOOKS_RETRIES: '0',
  }
  try {
    await using wary = await startServer({ env })
    assert.equal((await post(wary.url, { 'Upload-Length': '5' })).status, 500)
    await wary.logged(({ err }) => /cannot be reached: .*SELF_SIGNED_CERT/.test(JSON.stringify(err ?? '')))
    assert.deepEqual(types, [])

    await using server = await startServer({ env: { ...env, NODE_EXTRA_CA_CERTS: cert } })
    await create(server.url, 5)
    assert.deepEqual(types, ['pre-create'])
    isMoved = true
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
    await server.logged(({ err }) => JSON.stringify(err ?? '').includes('it answered 307'))
    assert.deepEqual(plain.deliveries, [])
    // Its query may be what the receiver knows us by.
    for (const { log } of [wary, server]) assert.ok(!log.join('\n').includes('hunter2'), log.join('\n'))
  } finally {
    await stop(receiver)
  }
})

test('an answer that breaks off, and one that never ends: 500, the reason in the log', async () => {
  let answer: (response: ServerResponse) => void = () => {}
  const receiver = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' })
      response.write('{', () => answer(response))
    })
  })
  const port = await listen(receiver)
  try {
    const env = {
      FILELOFT_HOOKS_URL: `http://127.0.0.1:${port}/`,
      FILELOFT_HOOKS_RETRIES: '0',
      FILELOFT_HOOKS_TIMEOUT: '1',
    }
    await using server = await startServer({ env })
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
    await server.logged(({ err }) => JSON.stringify(err ?? '').includes('failed: no answer within 1 s'))
    answer = (response) => response.destroy()
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
    await server.logged(({ err }) => JSON.stringify(err ?? '').includes('failed: its answer broke off: '))
  } finally {
    await stop(receiver)
  }
})

test('an answer with another protocol (101): a failure like others, and not a wait without end', async () => {
  // Nobody asked for it; Node's own server would not answer so.
  const receiver = createServer(({ socket }) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n')
  })
  const port = await listen(receiver)
  try {
    const url = `http://127.0.0.1:${port}/`
    await using server = await startServer({ env: { FILELOFT_HOOKS_URL: url, FILELOFT_HOOKS_EVENTS: 'pre-create' } })
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
    await server.logged(({ err }) => JSON.stringify(err ?? '').includes('failed: it answered 101'))
  } finally {
    await stop(receiver)
  }
})

test('answers to what is only told that begin and stand still: their connections are cut after a while', async () => {
  const closed: Promise<void>[] = []
  const receiver = createServer((request, response) => {
    closed.push(new Promise((resolve) => response.on('close', resolve)))
    request.resume()
    // One of them is a failure, and the event is sent again.
    response.writeHead(closed.length === 1 ? 500 : 200, { 'Content-Length': '100' }).write('x')
  })
  const port = await listen(receiver)
  try {
    const env = { FILELOFT_HOOKS_URL: `http://127.0.0.1:${port}/`, FILELOFT_HOOKS_EVENTS: 'post-create' }
    await using server = await startServer({ env: { ...env, FILELOFT_LOG: 'debug' } })
    await create(server.url, 5)
    await server.logged(({ msg }) => msg === 'hook delivered')
    assert.equal(closed.length, 2)
    await Promise.all(closed)
  } finally {
    await stop(receiver)
  }
})

test('a connection that the receiver closes as it is used again: the hook goes over another one, at once', async () => {
  const asked = new Map<Socket, number>()
  const receiver = createServer((request, response) => {
    const { socket } = request
    asked.set(socket, (asked.get(socket) ?? 0) + 1)
    if (asked.get(socket) !== 1) return void socket.destroy()
    request.resume().on('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'))
  })
  const port = await listen(receiver)
  try {
    const url = `http://127.0.0.1:${port}/`
    const env = { FILELOFT_HOOKS_URL: url, FILELOFT_HOOKS_EVENTS: 'pre-create', FILELOFT_HOOKS_RETRIES: '0' }
    // Each thread has connections of its own.
    await using server = await startServer({ env: { ...env, FILELOFT_WORKERS: '1' } })
    for (let count = 0; count < 3; count++) await create(server.url, 5)
    assert.deepEqual([...asked.values()], [2, 2, 1])
  } finally {
    await stop(receiver)
  }
})
