/** The connections over which webhooks go. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { listen, stop } from '../node-support.ts'
import { startServer } from '../support/server.ts'
import { create, idOf } from './client.ts'

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
