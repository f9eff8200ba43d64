/** The listener for Node's servers: what requests become, and their connections. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { toNodeListener } from '../src/node/index.ts'
import { collect, exchange, fakeHandler, listen, rawClient, serveListener, stop } from './node-support.ts'

const echoUrl = (request: Request) => Promise.resolve(new Response(request.url))

test('the request line becomes the URL, with the Host as it was sent', async () => {
  await using server = await serveListener(echoUrl)
  const cases = [
    ['GET /files/a?b=c HTTP/1.1\r\nHost: up.example.com:81', 'http://up.example.com:81/files/a?b=c'],
    ['GET /files HTTP/1.1\r\nHost: [::1]:8080', 'http://[::1]:8080/files'],
    ['GET //evil.example/x HTTP/1.1\r\nHost: a', 'http://a//evil.example/x'],
    ['GET http://proxied.example/files/a?b HTTP/1.1\r\nHost: a', 'http://a/files/a?b'],
    ['OPTIONS * HTTP/1.1\r\nHost: a', 'http://a/'],
  ]
  for (const [head, expected] of cases) {
    const answer = await exchange(server.port, `${head}\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.ok(answer.includes(`\r\n${expected}\r\n`), `${head}: ${answer}`)
  }
})

test('a Host that is missing or no host at all is answered as localhost', async () => {
  await using server = await serveListener(echoUrl)
  const hosts = ['', 'Host:', 'Host: a b', 'Host: a/b', 'Host: a@b', 'Host: "><script>', 'Host: a:999999', 'Host: [::']
  for (const host of hosts) {
    const answer = await exchange(server.port, `GET /files HTTP/1.0\r\n${host === '' ? '' : `${host}\r\n`}\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /, host)
    assert.ok(answer.endsWith('\r\n\r\nhttp://localhost/files'), `${host}: ${answer}`)
  }
})

test('a request that Fetch does not know is answered 400', async () => {
  await using server = await serveListener(echoUrl)
  for (const line of ['TRACE /files HTTP/1.1', 'GET ftp//broken HTTP/1.1']) {
    const answer = await exchange(server.port, `${line}\r\nHost: a\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 400 /, line)
  }
})

test('mounted by Express under a prefix, the URL is the original one', async () => {
  const listener = toNodeListener(fakeHandler(echoUrl))
  const server = createServer((incoming, outgoing) => {
    Object.assign(incoming, { originalUrl: incoming.url, url: '/a' })
    listener(incoming, outgoing)
  })
  const port = await listen(server)
  const answer = await fetch(`http://127.0.0.1:${port}/files/a?b=c`)
  assert.equal(await answer.text(), `http://127.0.0.1:${port}/files/a?b=c`)
  await stop(server)
})

test('request headers arrive, repeated ones joined', async () => {
  await using server = await serveListener(({ headers, method }) =>
    Promise.resolve(Response.json([headers.get('upload-offset'), headers.get('upload-metadata'), method])),
  )
  const head = 'PUT /files HTTP/1.1\r\nHost: a\r\nUpload-Offset: 1\r\nUpload-Offset: 2\r\nUpload-Metadata: a YQ==\r\n'
  const answer = await exchange(server.port, `${head}Connection: close\r\n\r\n`)
  assert.match(answer, /\["1, 2","a YQ==","PUT"\]/)
})

test('Expect: 100-continue is answered when the body is first read, and not when the request is refused', async () => {
  await using server = await serveListener(async (request, platform) => {
    if (request.url.endsWith('/refused')) return new Response('no', { status: 403 })
    return new Response(new Uint8Array(await collect(platform.body)))
  })
  const head = (path: string) =>
    `PATCH ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`
  using taken = await rawClient(server.port)
  taken.socket.write(head('/taken'))
  assert.equal(await taken.until(/\r\n\r\n/), 'HTTP/1.1 100 Continue\r\n\r\n')
  taken.socket.write('hello')
  assert.match(await taken.until(/hello/), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)

  using refused = await rawClient(server.port)
  refused.socket.write(head('/refused'))
  assert.match(await refused.until(/no/), /^HTTP\/1\.1 403 [^]*Connection: close/)
})

test('a thousand requests on one connection leave no listener behind', async () => {
  const warnings: unknown[] = []
  const onWarning = (warning: unknown) => void warnings.push(warning)
  process.on('warning', onWarning)
  await using server = await serveListener(async (_request, platform) => {
    return new Response(String((await collect(platform.body)).length))
  })
  const sockets = new Set<Socket>()
  server.server.on('request', (incoming) => sockets.add(incoming.socket))
  using client = await rawClient(server.port)
  let counts: number[] = []
  for (let i = 1; i <= 1000; i += 1) {
    const before = client.received().length
    client.socket.write('PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc')
    await client.until(/\r\n0\r\n\r\n$/, before)
    const [socket] = sockets
    const now = ['close', 'error', 'end', 'data', 'drain'].map((name) => socket?.listenerCount(name) ?? 0)
    if (i === 10) counts = now
    if (i > 10) assert.deepEqual(now, counts)
  }
  assert.equal(sockets.size, 1)
  process.off('warning', onWarning)
  assert.deepEqual(warnings, [])
})
