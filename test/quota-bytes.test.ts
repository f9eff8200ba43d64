/** How many bytes a client may send, on the running server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Upload } from 'tus-js-client'
import { secret, token } from './auth/support.ts'
import { createUpload, tus } from './cli-support.ts'
import { patchHead, rawClient } from './node-support.ts'
import { chunk, little, patch, pour, stall } from './quota-support.ts'
import { scrape } from './support/prometheus.ts'
import { startServer } from './support/server.ts'

test('FILELOFT_MAX_BYTES_PER_CLIENT: refused until the period is over; tus-js-client waits and completes', async () => {
  await using server = await startServer({
    env: { FILELOFT_MAX_BYTES_PER_CLIENT: '100KiB', FILELOFT_MAX_BYTES_PERIOD: '2' },
  })
  const started = performance.now()
  const statuses: number[] = []
  await new Promise<void>((resolve, reject) => {
    const upload = new Upload(Buffer.alloc(250 * 1024), {
      endpoint: server.url,
      chunkSize: 50 * 1024,
      retryDelays: [500, 500, 500, 500, 500, 500, 500, 500, 500, 500],
      storeFingerprintForResuming: false,
      onAfterResponse: (_, response) => void statuses.push(response.getStatus()),
      onShouldRetry: (error) => error.originalResponse?.getStatus() === 429,
      onSuccess: () => resolve(),
      onError: reject,
    })
    upload.start()
  })
  assert.ok(statuses.includes(429), String(statuses))
  // 100 KiB in each of three periods.
  assert.ok(performance.now() - started > 3_500, `took ${performance.now() - started} ms`)
})

for (const [kind, headers] of [
  ['with a length', ''],
  ['in chunks', 'Transfer-Encoding: chunked\r\n'],
] as const) {
  test(`a body ${kind} that runs when its client has sent all it may: ended with 429, what arrived is stored`, async () => {
    await using server = await startServer({ env: { ...little, FILELOFT_METRICS_BIND: '127.0.0.1:0' } })
    const url = await createUpload(server.origin, 50_000_000)
    using client = await rawClient(server.port)
    const length = headers === '' ? 'Content-Length: 50000000\r\n' : headers
    client.socket.write(
      `PATCH ${new URL(url).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n${length}` +
        'Content-Type: application/offset+octet-stream\r\n\r\n',
    )
    const x = 'x'.repeat(4096)
    const { answer } = await pour(client, headers === '' ? x : `1000\r\n${x}\r\n`, 50_000_000)
    assert.match(answer, /HTTP\/1\.1 429 [^]*retry-after: (35\d\d|3600)\r\n/i)
    const head = await fetch(url, { method: 'HEAD', headers: tus })
    const offset = Number(head.headers.get('upload-offset'))
    assert.ok(offset > 64 * 1024 && offset <= 64 * 1024 + chunk, String(offset))
    // Nothing is left, and nothing was taken twice: what is stored is what was charged.
    assert.equal((await patch(url, 'x', {}, offset)).status, 429)
    const metrics = await scrape(server)
    assert.equal(metrics.value('fileloft_received_bytes_total'), offset)
    assert.equal(metrics.value('fileloft_quota_refusals_total', { limit: 'bytes_per_client' }), 2)
  })
}

test('a body with a checksum counts as it comes: ended with 429 at the limit, nothing of it is stored', async () => {
  await using server = await startServer({ env: { ...little, FILELOFT_METRICS_BIND: '127.0.0.1:0' } })
  const url = await createUpload(server.origin, 50_000_000)
  using client = await stall(server, url, `Upload-Checksum: sha1 ${'A'.repeat(27)}=\r\n`, 50_000_000)
  const { answer } = await pour(client, 'x'.repeat(4096), 50_000_000)
  assert.match(answer, /HTTP\/1\.1 429 [^]*retry-after: (35\d\d|3600)\r\n/i)
  const received = (await scrape(server)).value('fileloft_received_bytes_total')
  assert.ok(received > 64 * 1024 && received <= 64 * 1024 + chunk, String(received))
  assert.equal((await fetch(url, { method: 'HEAD', headers: tus })).headers.get('upload-offset'), '0')
})

test('a body that passes the limit with its last bytes is stored whole; the client waits before its next one', async () => {
  await using server = await startServer({ env: { ...little, FILELOFT_METRICS_BIND: '127.0.0.1:0' } })
  const url = await createUpload(server.origin, 65 * 1024)
  assert.equal((await patch(url, Buffer.alloc(63 * 1024))).status, 204)
  assert.equal((await patch(url, Buffer.alloc(2 * 1024), {}, 63 * 1024)).status, 204)
  const metrics = await scrape(server)
  assert.equal(metrics.value('fileloft_quota_refusals_total', { limit: 'bytes_per_client' }), 0)
  assert.equal((await patch(await createUpload(server.origin, 5), 'hello')).status, 429)
})

test('a POST with more bytes than its client may send: 201 with the offset that was reached and when to go on', async () => {
  await using server = await startServer({ env: little })
  using client = await rawClient(server.port)
  client.socket.write(
    'POST /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 50000000\r\n' +
      'Content-Type: application/offset+octet-stream\r\nContent-Length: 50000000\r\n\r\n',
  )
  const { answer } = await pour(client, 'x'.repeat(4096), 50_000_000)
  assert.match(answer, /HTTP\/1\.1 201 [^]*retry-after: (35\d\d|3600)\r\n/i)
  const told = /upload-offset: (\d+)/i.exec(answer)?.[1]
  const offset = Number(told)
  assert.ok(offset > 64 * 1024 && offset <= 64 * 1024 + chunk, told)
  const path = new URL(/location: (\S+)/i.exec(answer)?.[1] ?? '', server.origin).pathname
  const head = await fetch(server.origin + path, { method: 'HEAD', headers: tus })
  assert.equal(head.headers.get('upload-offset'), told)
  assert.equal((await patch(server.origin + path, 'x', {}, offset)).status, 429)
})

test('two threads: a body that runs is ended near the limit by whichever thread serves it', async () => {
  await using server = await startServer({ env: { ...little, FILELOFT_WORKERS: '2' } })
  for (const client of [await rawClient(server.port), await rawClient(server.port)]) {
    using _ = client
    const url = await createUpload(server.origin, 50_000_000)
    client.socket.write(patchHead(url, 50_000_000))
    const { answer } = await pour(client, 'x'.repeat(4096), 50_000_000)
    assert.match(answer, /HTTP\/1\.1 429 /)
    const head = await fetch(url, { method: 'HEAD', headers: tus })
    assert.ok(Number(head.headers.get('upload-offset')) <= 64 * 1024 + chunk, head.headers.get('upload-offset') ?? '')
  }
})

test('tus-js-client sends a file that is larger than its share by POST: goes on with that upload when it may', async () => {
  await using server = await startServer({
    env: { FILELOFT_MAX_BYTES_PER_CLIENT: '100KiB', FILELOFT_MAX_BYTES_PERIOD: '2' },
  })
  const seen: string[] = []
  const bytes = Buffer.alloc(400 * 1024, 'x')
  const url = await new Promise<string>((resolve, reject) => {
    const upload = new Upload(bytes, {
      endpoint: server.url,
      uploadDataDuringCreation: true,
      retryDelays: Array.from({ length: 60 }, () => 250),
      storeFingerprintForResuming: false,
      onAfterResponse: (request, response) => void seen.push(`${request.getMethod()} ${response.getStatus()}`),
      // As Uppy has it; by itself it gives up at a 429.
      onShouldRetry: () => true,
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
    })
    upload.start()
  })
  assert.equal(seen.filter((each) => each.startsWith('POST')).join(), 'POST 201', seen.join())
  assert.ok(seen.includes('PATCH 429'), seen.join())
  const head = await fetch(url, { method: 'HEAD', headers: tus })
  assert.deepEqual([head.status, head.headers.get('upload-offset')], [200, String(bytes.length)])
})

test('FILELOFT_MAX_BYTES_PER_CLIENT where owners are known: each has a share, whatever address the bytes come from', async () => {
  await using server = await startServer({
    env: {
      ...little,
      FILELOFT_BEHIND_PROXY: 'true',
      FILELOFT_AUTH_JWT_SECRET: secret,
      FILELOFT_AUTH_OWNER_CLAIM: 'sub',
    },
  })
  const from = (owner: string, address: string) => ({
    Authorization: `Bearer ${token({ sub: owner })}`,
    'X-Forwarded-For': address,
  })
  const send = async (headers: Record<string, string>, kib: number) => {
    const url = await createUpload(server.origin, kib * 1024, headers)
    return (await patch(url, Buffer.alloc(kib * 1024), headers)).status
  }
  assert.equal(await send(from('ann', '192.0.2.1'), 64), 204)
  assert.equal(await send(from('ann', '192.0.2.1'), 1), 429)
  // One owner at two addresses has one share; two owners at one address have two.
  assert.equal(await send(from('ann', '192.0.2.2'), 1), 429)
  assert.equal(await send(from('bob', '192.0.2.1'), 40), 204)
  assert.equal(await send(from('bob', '192.0.2.3'), 24), 204)
  assert.equal(await send(from('bob', '192.0.2.3'), 1), 429)
})
