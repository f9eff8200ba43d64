import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { tus } from '../src/hono.ts'
import type { Platform } from '../src/platform.ts'
import { collect, fakeHandler, portOf, rawClient, stop } from './node-support.ts'

const report = async (request: Request, platform: Platform): Promise<Response> => {
  if (request.url.endsWith('/refused')) return new Response('refused', { status: 413 })
  const fromNode = platform.body !== undefined
  const body = fromNode ? await collect(platform.body) : Buffer.from(await request.arrayBuffer())
  return Response.json([request.method, new URL(request.url).pathname, fromNode, body.toString()])
}
const app = new Hono().all('/files/*', tus(fakeHandler(report)))

test('on any runtime the handler gets the request as Fetch has it, at /files and below', async () => {
  for (const path of ['/files', '/files/', '/files/a/b']) {
    const answer = await app.request(path, { method: 'PATCH', body: 'abc' })
    assert.deepEqual(await answer.json(), ['PATCH', path, false, 'abc'])
  }
  const env = { incoming: 'a binding of that name', outgoing: null }
  assert.equal((await app.request('/files', { method: 'POST', body: 'abc' }, env)).status, 200)
  assert.equal((await app.request('/elsewhere')).status, 404)
})

test("on Node the body comes from Node's own stream, and a refused one ends the connection behind the answer", async () => {
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1', overrideGlobalObjects: false })
  if (!server.listening) await once(server, 'listening')
  const port = portOf(server)
  const answer = await fetch(`http://127.0.0.1:${port}/files/a`, { method: 'PATCH', body: 'abc' })
  assert.deepEqual(await answer.json(), ['PATCH', '/files/a', true, 'abc'])

  using client = await rawClient(port)
  client.socket.write(`PATCH /files/refused HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n`)
  client.socket.write(Buffer.alloc(8_000_000))
  assert.equal(await client.closed, null)
  assert.match(client.received(), /^HTTP\/1\.1 413 [^]*\r\nConnection: close\r\n[^]*refused/i)
  await stop(server)
})
