/** Limits for clients, on the running server and in the ledger that keeps account of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { combineHooks } from '../src/combine.ts'
import type { RequestEvent } from '../src/hooks.ts'
import { addressOf } from '../src/node/quota/client.ts'
import { createLedger } from '../src/node/quota/ledger.ts'
import { createShared, joinShared } from '../src/node/shared.ts'
import { secret, token } from './auth/support.ts'
import { createUpload, tus } from './cli-support.ts'
import { patchHead, type RawClient, rawClient } from './node-support.ts'
import { octets, patch, stall } from './quota-support.ts'
import { scrape } from './support/prometheus.ts'
import { startServer } from './support/server.ts'

test('FILELOFT_MAX_ACTIVE_UPLOADS: the body beyond it is answered 429 with Retry-After, HEAD and POST are not', async () => {
  await using server = await startServer({
    env: { FILELOFT_MAX_ACTIVE_UPLOADS: '2', FILELOFT_METRICS_BIND: '127.0.0.1:0' },
  })
  const urls = [
    await createUpload(server.origin, 1000),
    await createUpload(server.origin, 1000),
    await createUpload(server.origin, 5),
  ] as const
  using first = await stall(server, urls[0])
  using second = await stall(server, urls[1])
  const refused = await patch(urls[2], 'hello')
  assert.equal(refused.status, 429)
  assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.match(refused.headers.get('access-control-expose-headers') ?? '', /Retry-After/)
  assert.match(await refused.text(), /come back later/)
  const post = await fetch(server.url, {
    method: 'POST',
    headers: { ...tus, ...octets, 'Upload-Length': '5' },
    body: 'hello',
  })
  assert.equal(post.status, 429)
  assert.equal((await fetch(urls[2], { method: 'HEAD', headers: tus })).headers.get('upload-offset'), '0')
  assert.notEqual(await createUpload(server.origin, 5), '')
  const metrics = await scrape(server)
  assert.equal(metrics.value('fileloft_quota_refusals_total', { limit: 'active' }), 2)

  // A place that is given back can be had: by the end of a body, by a lost connection.
  second.socket.write('x'.repeat(995))
  await second.until(/HTTP\/1\.1 204 /)
  assert.equal((await patch(urls[2], 'hello')).status, 204)
  first.socket.destroy()
  await server.logged(({ aborted }) => aborted === true)
  assert.equal((await patch(urls[0], 'x'.repeat(995), {}, 5)).status, 204)
})

test('the body that takes over an upload from its own predecessor takes over its place', async () => {
  await using server = await startServer({ env: { FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '1' } })
  const url = await createUpload(server.origin, 10)
  using dead = await stall(server, url, '', 10)
  // It would have to know the offset, which a HEAD tells; that evicts the first. Without one it is told.
  const answer = await patch(url, 'world', {}, 5)
  assert.equal(answer.status, 204)
  assert.match(await dead.until(/HTTP\/1\.1 (?!100)/), /HTTP\/1\.1 423 /)
})

test('FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: each address for itself; behind a proxy the one that it tells last', async () => {
  await using server = await startServer({
    env: { FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '1', FILELOFT_BEHIND_PROXY: 'true' },
  })
  const urls = [await createUpload(server.origin, 1000), await createUpload(server.origin, 5)] as const
  using running = await stall(server, urls[0], 'X-Forwarded-For: 198.51.100.9, 192.0.2.1\r\n')
  const forwarded = (list: string) => patch(urls[1], 'hello', { 'X-Forwarded-For': list })
  // What the client made up before the proxy's own entry changes nothing.
  assert.equal((await forwarded('203.0.113.77, 192.0.2.1')).status, 429)
  assert.equal((await forwarded('192.0.2.1:4711')).status, 429)
  assert.equal((await forwarded('192.0.2.1, 203.0.113.77')).status, 204)
  running.socket.destroy()
})

test('two threads: a client has its places once, and what it sends is added up, whichever threads serve it', async () => {
  const places = { FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '2', FILELOFT_MAX_BYTES_PER_CLIENT: '2KiB' }
  await using server = await startServer({ env: { ...places, FILELOFT_WORKERS: '2' } })
  const urls = await Promise.all(Array.from({ length: 12 }, () => createUpload(server.origin, 1000)))
  const running: RawClient[] = []
  const statuses: number[] = []
  // Each on a connection of its own, which the system gives to one thread or the other.
  for (const url of urls) {
    const client = await rawClient(server.port)
    client.socket.write(patchHead(url, 1000, 'Expect: 100-continue\r\n'))
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(await client.until(/^HTTP\/1\.1 \d+ /))?.[1])
    statuses.push(status)
    if (status === 100) running.push(client)
    else client.socket.destroy()
  }
  assert.deepEqual(statuses, [100, 100, ...Array.from({ length: 10 }, () => 429)])
  for (const client of running) {
    client.socket.write('x'.repeat(1000))
    await client.until(/HTTP\/1\.1 204 /)
    client.socket.destroy()
  }
  // 2,000 of 2,048 bytes are sent, and the places are free.
  const close = { Connection: 'close' }
  assert.equal((await patch(urls[2] ?? '', 'x'.repeat(47), close)).status, 204)
  const last = await Promise.all(urls.slice(3).map((url) => patch(url, 'x', close)))
  assert.ok(last.some(({ status }) => status === 429))
  for (const url of urls.slice(3)) assert.equal((await patch(url, 'x', close, 1)).status, 429)
})

test('without FILELOFT_BEHIND_PROXY a forwarded address counts for nothing', async () => {
  await using server = await startServer({ env: { FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '1' } })
  const urls = [await createUpload(server.origin, 1000), await createUpload(server.origin, 5)] as const
  using running = await stall(server, urls[0], 'X-Forwarded-For: 192.0.2.1\r\n')
  assert.equal((await patch(urls[1], 'hello', { 'X-Forwarded-For': '192.0.2.2' })).status, 429)
  running.socket.destroy()
})

test('where owners are known they are the clients, whatever address they have', async () => {
  await using server = await startServer({
    env: {
      FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT: '1',
      FILELOFT_BEHIND_PROXY: 'true',
      FILELOFT_AUTH_JWT_SECRET: secret,
      FILELOFT_AUTH_OWNER_CLAIM: 'sub',
    },
  })
  const [ann, bob] = [token({ sub: 'ann' }), token({ sub: 'bob' })]
  const bearer = (who: string) => ({ Authorization: `Bearer ${who}` })
  const running = await createUpload(server.origin, 1000, bearer(ann))
  const [anns, bobs] = [
    await createUpload(server.origin, 5, bearer(ann)),
    await createUpload(server.origin, 5, bearer(bob)),
  ]
  using body = await stall(server, running, `Authorization: Bearer ${ann}\r\nX-Forwarded-For: 192.0.2.1\r\n`)
  assert.equal((await patch(anns, 'hello', { ...bearer(ann), 'X-Forwarded-For': '192.0.2.2' })).status, 429)
  assert.equal((await patch(bobs, 'hello', { ...bearer(bob), 'X-Forwarded-For': '192.0.2.1' })).status, 204)
  body.socket.destroy()
})

test('FILELOFT_MIN_RATE: a body that trickles is ended with 503, what arrived is stored, the rest follows', async () => {
  await using server = await startServer({
    env: { FILELOFT_MIN_RATE: '1KiB', FILELOFT_MIN_RATE_WINDOW: '1', FILELOFT_IDLE_TIMEOUT: '0' },
  })
  const url = await createUpload(server.origin, 1000)
  using client = await stall(server, url)
  const timer = setInterval(() => client.socket.write('x'), 50)
  try {
    const text = await client.until(/HTTP\/1\.1 (?!100)[^]*\r\n\r\n[^]*\n/)
    assert.match(text, /HTTP\/1\.1 503 [^]*too slowly/)
  } finally {
    clearInterval(timer)
  }
  const head = await fetch(url, { method: 'HEAD', headers: tus })
  const offset = Number(head.headers.get('upload-offset'))
  assert.ok(offset >= 5 && offset < 100, String(offset))
  assert.equal((await patch(url, 'y'.repeat(1000 - offset), {}, offset)).status, 204)
})

test('a client is its address: the last one that a trusted proxy names, a network of IPv6', () => {
  const of = (headers: Record<string, string>, remote: string | undefined = '10.0.0.1', trusted = true) =>
    addressOf(new Headers(headers), remote, trusted)
  assert.equal(of({}), '10.0.0.1')
  assert.equal(of({ 'X-Forwarded-For': '192.0.2.1' }, '10.0.0.1', false), '10.0.0.1')
  assert.equal(of({ 'X-Forwarded-For': 'spoofed, 192.0.2.1' }), '192.0.2.1')
  assert.equal(of({ Forwarded: 'for=1.1.1.1, proto=https;for="192.0.2.1:99"' }), '192.0.2.1')
  assert.equal(of({ Forwarded: 'for="[2001:DB8:0:1::5]:99"' }), '2001:db8:0:1::/64')
  assert.equal(of({ Forwarded: 'proto=https' }), '10.0.0.1')
  assert.equal(of({}, '::ffff:192.0.2.1'), '192.0.2.1')
  assert.equal(of({}, '2001:db8::1'), '2001:db8:0:0::/64')
  assert.equal(of({}, '2001:db8:0:0:ffff::2'), '2001:db8:0:0::/64')
  assert.equal(addressOf(new Headers(), undefined, true), 'unknown')
})

test('the ledger: places by upload, periods that end, clients that are forgotten', () => {
  let now = 0
  const ledger = createLedger({ active: 3, activePerClient: 2, bytesPerClient: 100, periodMs: 1000 }, () => now)
  assert.equal(ledger.enter('a', '1'), null)
  assert.equal(ledger.enter('a', '1'), null, 'the same upload once more')
  assert.equal(ledger.enter('a', '2'), null)
  assert.deepEqual(ledger.enter('a', '3'), { limit: 'active_per_client', retryAfter: 5 })
  assert.equal(ledger.enter('b', '1'), null)
  assert.deepEqual(ledger.enter('c', '1'), { limit: 'active', retryAfter: 5 })
  ledger.leave('a', '1')
  assert.deepEqual(ledger.enter('c', '1'), { limit: 'active', retryAfter: 5 }, 'its other body still runs')
  ledger.leave('a', '1')
  ledger.leave('a', '1')
  assert.equal(ledger.enter('c', '1'), null)

  assert.equal(ledger.charge('b', 99), 1)
  now = 600
  assert.equal(ledger.charge('b', 1), 0, 'all that it may have')
  assert.deepEqual(ledger.charge('b', 1), { limit: 'bytes_per_client', retryAfter: 1 })
  ledger.leave('b', '1')
  assert.deepEqual(ledger.enter('b', '1'), { limit: 'bytes_per_client', retryAfter: 1 })
  now = 1001
  assert.equal(ledger.enter('b', '1'), null)
  assert.equal(ledger.charge('b', 50), 50, 'a new period')
})

test('exactly the bytes that a client may send: none is refused, the next one is', () => {
  const ledger = createLedger({ active: 0, activePerClient: 0, bytesPerClient: 10, periodMs: 60_000 })
  assert.equal(ledger.charge('a', 10), 0)
  assert.equal((ledger.enter('a', '1') as { limit: string }).limit, 'bytes_per_client')
  assert.equal((ledger.charge('a', 1) as { limit: string }).limit, 'bytes_per_client')
})

test('X-Forwarded-For, which proxies set, goes before what a client may have put into Forwarded', () => {
  const headers = new Headers({ forwarded: 'for=192.0.2.99', 'x-forwarded-for': '192.0.2.1' })
  assert.equal(addressOf(headers, '127.0.0.1', true), '192.0.2.1')
})

test('threads share one ledger and one set of metrics over a port', async () => {
  const main = createShared({ active: 1, activePerClient: 0, bytesPerClient: 10, periodMs: 60_000 })
  const { port1, port2 } = new MessageChannel()
  main.connect(port1)
  const other = joinShared(port2)
  try {
    const { createMeters, countsOf } = await import('../src/node/metrics/meters.ts')
    const [mine, theirs] = [createMeters(), createMeters()]
    main.join(() => countsOf(mine))
    other.join(() => countsOf(theirs))
    mine.requests.inc({ method: 'HEAD', status: 200 }, 2)
    theirs.requests.inc({ method: 'HEAD', status: 200 }, 3)
    theirs.requestSeconds.observe({ method: 'HEAD' }, 0.02)
    for (const shared of [main, other]) {
      const text = await shared.metrics()
      assert.match(text, /^fileloft_http_requests_total\{method="HEAD",status="200"\} 5$/m)
      assert.match(text, /^fileloft_http_request_duration_seconds_count\{method="HEAD"\} 1$/m)
      assert.match(text, /^process_cpu_seconds_total \d/m)
    }

    assert.equal(await other.ledger.enter('a', '1'), null)
    other.ledger.leave('a', '1')
    assert.equal(await main.ledger.enter('b', '1'), null, 'the place is free, though it was not told yet')
    main.ledger.leave('b', '1')

    assert.equal(await other.ledger.enter('a', '1'), null)
    assert.equal((await main.ledger.enter('b', '1'))?.limit, 'active')
    other.ledger.leave('a', '1')
    assert.equal(((await other.ledger.charge('a', 11)) as { limit: string }).limit, 'bytes_per_client')
    assert.equal(await main.ledger.enter('b', '1'), null)
    assert.equal((await main.ledger.enter('a', '1'))?.limit, 'active')
  } finally {
    port1.close()
    port2.close()
  }
})

test('of several sets of hooks each onRequest sees what those before it have returned', async () => {
  const seen: unknown[] = []
  const { onRequest } = combineHooks<{ claims?: string; more?: number }>([
    { onRequest: ({ context }) => (seen.push(context), { claims: 'ada' }) },
    { onRequest: ({ context }) => (seen.push(context), { more: 1 }) },
  ])
  const event = { request: new Request('http://a/'), remoteAddress: undefined } as RequestEvent
  assert.deepEqual(await onRequest?.(event), { claims: 'ada', more: 1 })
  assert.deepEqual(seen, [{}, { claims: 'ada' }])
})
