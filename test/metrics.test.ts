/** What `GET /metrics` of the running server tells, after real clients have used it. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { run, trackUpload } from './clients/tus.ts'
import { upload } from './hooks/client.ts'
import { startReceiver } from './hooks/receiver.ts'
import { createUpload, runCli, temporaryDirectory, tus } from './cli-support.ts'
import { patchHead, rawClient } from './node-support.ts'
import { startAzurite } from './servers/azurite.ts'
import { type Metrics, parseMetrics, scrape } from './support/prometheus.ts'
import { startServer, type TestServer } from './support/server.ts'
import { azure } from './support/storage-dialects.ts'
import { startStorageProxy } from './support/storage-proxy.ts'

const own = { FILELOFT_METRICS_BIND: '127.0.0.1:0' }

/** Metrics are counted when an answer is out, which its client may know before. */
async function scrapeUntil(server: TestServer, holds: (metrics: Metrics) => boolean, what: string): Promise<Metrics> {
  const deadline = Date.now() + 5000
  for (;;) {
    const metrics = await scrape(server)
    if (holds(metrics)) return metrics
    assert.ok(Date.now() < deadline, `waited in vain for: ${what}\n${metrics.series.join('\n')}`)
  }
}

test('uploads by tus-js-client, a DELETE, an unknown method: each is counted where it belongs', async () => {
  await using server = await startServer({ env: { ...own, FILELOFT_ENABLE_CONCATENATION: 'true' } })
  const bytes = Buffer.alloc(300_000, 7)
  await run(trackUpload(bytes, { endpoint: server.url, chunkSize: 100_000 }))
  await run(trackUpload(bytes, { endpoint: server.url, parallelUploads: 3 }))
  const gone = await createUpload(server.origin, 10)
  assert.equal((await fetch(gone, { method: 'DELETE', headers: tus })).status, 204)
  assert.equal((await fetch(gone, { method: 'HEAD', headers: tus })).status, 404)
  await fetch(server.url, { method: 'PROPFIND', headers: tus })
  for (const probe of ['healthz', 'readyz']) await fetch(`${server.origin}/${probe}`)

  const metrics = await scrapeUntil(
    server,
    (m) => m.value('fileloft_http_requests_total', { method: 'other' }) === 1,
    'the last request',
  )
  const count = (name: string, labels = {}) => metrics.value(`fileloft_${name}`, labels)
  const patches = count('http_requests_total', { method: 'PATCH' })
  assert.equal(count('http_requests_total', { method: 'PATCH', status: '204' }), patches)
  assert.equal(patches, 6)
  assert.equal(count('http_requests_total', { method: 'HEAD', status: '404' }), 1)
  assert.equal(count('http_requests_total', { method: 'GET' }), 0, 'probes are not counted')
  assert.equal(count('http_request_duration_seconds_count', { method: 'PATCH' }), patches)
  assert.ok(count('http_request_duration_seconds_sum', { method: 'PATCH' }) > 0)
  assert.equal(count('received_bytes_total'), 600_000)
  assert.equal(count('uploads_created_total', { type: 'plain' }), 2)
  assert.equal(count('uploads_created_total', { type: 'partial' }), 3)
  assert.equal(count('uploads_created_total', { type: 'final' }), 1)
  assert.equal(count('uploads_finished_total', { type: 'plain' }), 1)
  assert.equal(count('uploads_finished_total', { type: 'final' }), 1)
  assert.equal(count('uploads_terminated_total'), 1)
  assert.equal(count('active_uploads'), 0)
  assert.ok(count('lock_wait_seconds_count') >= patches)
  assert.ok(metrics.value('process_cpu_seconds_total') > 0 && metrics.value('process_resident_memory_bytes') > 1e6)
})

test('two threads: whichever of them is asked, it tells what both have counted', async () => {
  await using server = await startServer({ env: { FILELOFT_METRICS: 'true', FILELOFT_WORKERS: '2' } })
  // A connection for each request, which the system gives to one thread or the other.
  const close = { Connection: 'close' }
  for (let n = 0; n < 16; n++) await createUpload(server.origin, 5, close)
  const ask = async () =>
    parseMetrics(await (await fetch(`${server.origin}/metrics`, { headers: { ...tus, ...close } })).text())
  const requests = (metrics: Metrics) => metrics.value('fileloft_http_requests_total', { method: 'POST' })
  // The last one is counted once its answer is out.
  for (const end = Date.now() + 5000; requests(await ask()) !== 16 && Date.now() < end;);
  for (let n = 0; n < 16; n++) {
    const metrics = await ask()
    assert.equal(requests(metrics), 16)
    assert.equal(metrics.value('fileloft_uploads_created_total'), 16)
    assert.ok(metrics.value('process_resident_memory_bytes') > 1e6)
  }
  assert.equal((await server.stop()).code, 0)
})

test('a PATCH that stands still: active while it runs, evicted by a HEAD that waits for it, its bytes at once', async () => {
  await using server = await startServer({ env: { ...own, FILELOFT_LOCK_TIMEOUT: '5' } })
  const url = await createUpload(server.origin, 1000)
  using client = await rawClient(server.port)
  client.socket.write(`${patchHead(url, 1000)}hello`)
  await scrapeUntil(
    server,
    (m) => m.value('fileloft_active_uploads') === 1 && m.value('fileloft_received_bytes_total') === 5,
    'the running body',
  )
  const head = await fetch(url, { method: 'HEAD', headers: tus })
  assert.equal(head.headers.get('upload-offset'), '5')
  const metrics = await scrapeUntil(server, (m) => m.value('fileloft_active_uploads') === 0, 'its end')
  assert.equal(metrics.value('fileloft_lock_evictions_total'), 1)
  assert.equal(metrics.value('fileloft_lock_timeouts_total'), 0)
  assert.equal(metrics.value('fileloft_http_requests_total', { method: 'PATCH', status: '423' }), 1)
})

test('a client that goes before its answer counts as 499; expired uploads are counted', async () => {
  await using server = await startServer({
    env: {
      ...own,
      FILELOFT_ENABLE_EXPIRATION: 'true',
      FILELOFT_EXPIRATION_TTL: '1',
      FILELOFT_SWEEP_INTERVAL: '1',
    },
  })
  const url = await createUpload(server.origin, 1000)
  {
    using client = await rawClient(server.port)
    client.socket.write(`${patchHead(url, 1000)}hello`)
    await scrapeUntil(server, (m) => m.value('fileloft_active_uploads') === 1, 'the running body')
  }
  const status = { method: 'PATCH', status: '499' }
  await scrapeUntil(server, (m) => m.value('fileloft_http_requests_total', status) === 1, 'the lost client')
  await server.logged(({ msg, removed }) => msg === 'swept' && removed === 1)
  await scrapeUntil(server, (m) => m.value('fileloft_uploads_expired_total') === 1, 'the expired upload')
})

test('object storage: calls, retries and times by kind, memory for parts', async (t) => {
  await using azurite = await startAzurite()
  if (azurite === null) return t.skip('Azurite is not installed')
  await using proxy = await startStorageProxy(new URL(azurite.endpoint).origin, { dialect: azure })
  await using server = await startServer({
    env: {
      ...own,
      FILELOFT_AZURE_CONTAINER: await azurite.newContainer(),
      FILELOFT_AZURE_CONNECTION_STRING: azurite.connectionStringVia(proxy.origin),
      FILELOFT_PART_SIZE: '5MiB',
      FILELOFT_BUFFER_BUDGET: '64MiB',
      FILELOFT_DATA_DIR: '',
    },
  })
  proxy.plan({ fault: { is: 'status', status: 503 }, on: 'PutBlock', times: 2 })
  await run(trackUpload(Buffer.alloc(12 * 1024 * 1024, 1), { endpoint: server.url }))
  const metrics = await scrape(server)
  const calls = (kind: string, outcome: string) => metrics.value('fileloft_storage_requests_total', { kind, outcome })
  assert.equal(calls('putPart', 'error'), 2)
  assert.equal(metrics.value('fileloft_storage_retries_total', { kind: 'putPart' }), 2)
  // One part where the client was quick enough for it, else two or three.
  assert.ok(calls('putPart', 'ok') >= 1 && calls('complete', 'ok') === 1 && calls('put', 'ok') >= 2)
  assert.equal(
    metrics.value('fileloft_storage_request_duration_seconds_count', { kind: 'putPart' }),
    calls('putPart', 'ok') + 2,
  )
  assert.equal(metrics.value('fileloft_buffer_budget_bytes'), 64 * 1024 * 1024)
  assert.equal(metrics.value('fileloft_buffer_used_bytes'), 0)
  assert.ok(metrics.series.some((series) => series.startsWith('fileloft_buffer_used_bytes')))

  // Memory while a part is being filled.
  const url = await createUpload(server.origin, 20 * 1024 * 1024)
  using client = await rawClient(server.port)
  client.socket.write(`${patchHead(url, 20 * 1024 * 1024)}hello`)
  await scrapeUntil(server, (m) => m.value('fileloft_buffer_used_bytes') >= 5 * 1024 * 1024, 'a buffer in use')
})

test('hook deliveries: each try by event and outcome, what is given up, the time that tries take', async () => {
  let refusals = 2
  await using receiver = await startReceiver(({ Type }) => {
    if (Type === 'pre-create' && refusals-- > 0) return 503
    return Type === 'post-create' ? 500 : {}
  })
  await using server = await startServer({
    env: {
      ...own,
      FILELOFT_HOOKS_URL: receiver.url,
      FILELOFT_HOOKS_EVENTS: 'pre-create,post-create,post-finish',
      FILELOFT_HOOKS_RETRIES: '2',
      FILELOFT_HOOKS_GIVE_UP_AFTER: '0',
    },
  })
  const none = await scrape(server)
  assert.equal(none.value('fileloft_hook_deliveries_total'), 0)
  await upload(server.url, 'hello')
  const deliveries = (metrics: Metrics, event: string, outcome: string) =>
    metrics.value('fileloft_hook_deliveries_total', { event, outcome })
  await receiver.until(() => receiver.of('post-finish').length === 1)
  const metrics = await scrapeUntil(server, (m) => deliveries(m, 'post-finish', 'ok') === 1, 'the last delivery')
  const counted = ['pre-create', 'post-create', 'post-finish'].map((event) => [
    ...['ok', 'failed', 'dead'].map((outcome) => deliveries(metrics, event, outcome)),
    metrics.value('fileloft_hook_delivery_duration_seconds_count', { event }),
    metrics.value('fileloft_hook_delivery_duration_seconds_bucket', { event, le: '+Inf' }),
  ])
  // Taken at the third try; failed three times, then given up; taken at once.
  assert.deepEqual(counted, [
    [1, 2, 0, 3, 3],
    [0, 3, 1, 3, 3],
    [1, 0, 0, 1, 1],
  ])
  const seconds = metrics.value('fileloft_hook_delivery_duration_seconds_sum')
  assert.ok(seconds > 0 && seconds < 10, `tries of ${seconds} s: pauses are not part of them`)
})

test('labels stay few whatever clients send: no ids, no invented methods or statuses', async () => {
  await using server = await startServer({ env: own })
  for (let n = 0; n < 30; n++) {
    await fetch(`${server.url}/id-${n}`, { method: 'HEAD', headers: { ...tus, 'X-Request-Id': `request-${n}` } })
    // Those that Node's parser knows; it refuses others itself.
    await fetch(`${server.url}/id-${n}`, { method: ['PROPFIND', 'LOCK', 'PURGE', 'REPORT'][n % 4]!, headers: tus })
    await fetch(`${server.url}/id-${n}`, {
      method: 'POST',
      headers: { ...tus, 'X-HTTP-Method-Override': `N${n}` },
    })
  }
  const metrics = await scrapeUntil(server, (m) => m.value('fileloft_http_requests_total') >= 90, 'all requests')
  const requests = metrics.series.filter((series) => series.startsWith('fileloft_http_requests_total{'))
  assert.ok(requests.length <= 6, requests.join('\n'))
  assert.doesNotMatch(metrics.series.join('\n'), /id-\d|request-\d|PROPFIND|PURGE|"N\d/)
})

test('metrics are off unless asked for; on the port of the uploads only with FILELOFT_METRICS', async () => {
  await using off = await startServer()
  assert.equal((await fetch(`${off.origin}/metrics`)).status, 404)
  await using apart = await startServer({ env: own })
  assert.equal((await fetch(`${apart.origin}/metrics`)).status, 404)
  const address = (await apart.logged(({ msg }) => msg === 'listening'))['metrics'] as string
  assert.equal((await fetch(new URL('/files', address), { method: 'OPTIONS' })).status, 404)
  assert.equal((await fetch(address, { method: 'POST' })).status, 405)
  await using together = await startServer({ env: { FILELOFT_METRICS: 'true', FILELOFT_BASE_PATH: '/' } })
  const answer = await fetch(`${together.origin}/metrics`)
  assert.equal(answer.status, 200)
  assert.ok(parseMetrics(await answer.text()).types.has('fileloft_http_requests_total'))
  assert.ok(!together.log.join('\n').includes('"path":"/metrics"'), 'scrapes are logged at debug only')
})

test('an address for metrics that is taken: one line, exit code 1', async () => {
  await using first = await startServer({ env: own })
  const { host } = new URL((await first.logged(({ msg }) => msg === 'listening'))['metrics'] as string)
  using directory = temporaryDirectory()
  const { code, stderr } = await runCli([], {
    FILELOFT_BIND: '127.0.0.1:0',
    FILELOFT_DATA_DIR: directory.path,
    FILELOFT_METRICS_BIND: host,
  })
  assert.equal(code, 1)
  assert.match(stderr, /^fileloft: Cannot listen for metrics on 127\.0\.0\.1:\d+: .*\n$/)
})

test('names follow the conventions: units in base form, counters end in _total, each with help', async () => {
  await using server = await startServer({ env: own })
  const { types, help } = await scrape(server)
  const ours = [...types].filter(([name]) => name.startsWith('fileloft_'))
  assert.ok(ours.length >= 15)
  for (const [name, type] of ours) {
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    if (type === 'histogram') assert.ok(name.endsWith('_seconds'), name)
    assert.doesNotMatch(name, /(_ms|_milliseconds|_kb|_mib|_count|_sum|_bucket)\b/)
    assert.ok((help.get(name) ?? '').length > 10, name)
  }
})

test('examples/grafana-dashboard.json asks for metrics that the server exports, and for each of ours', async () => {
  await using server = await startServer({ env: own })
  const { types } = await scrape(server)
  const text = await readFile(new URL('../examples/grafana-dashboard.json', import.meta.url), 'utf8')
  const dashboard = JSON.parse(text) as { panels: { title: string; targets?: { expr: string }[] }[] }
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  assert.ok(expressions.length >= 15)
  const asked = new Set<string>()
  for (const expression of expressions) {
    for (const [name] of expression.matchAll(/\b(?:fileloft|process|nodejs)_[a-z0-9_]+\b/g)) {
      const base = name.replace(/_(bucket|sum|count)$/, '')
      assert.ok(types.has(name) || types.get(base) === 'histogram', `${name} in ${expression}`)
      asked.add(types.has(name) ? name : base)
    }
  }
  const unseen = [...types.keys()].filter((name) => name.startsWith('fileloft_') && !asked.has(name))
  assert.deepEqual(unseen, [], 'metrics that no panel shows')
})

test('docs/operating.md lists every metric with the help that the server gives', async () => {
  await using server = await startServer({ env: own })
  const { help, types } = await scrape(server)
  const page = await readFile(new URL('../docs/operating.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(fileloft_\w+)` *\| (\w+) *\| (.+?) *\|$/gm)].map(([, ...row]) => row)
  const exported = [...help].flatMap(([name, text]) =>
    name.startsWith('fileloft_') ? [[name, types.get(name) ?? '', text]] : [],
  )
  assert.deepEqual(rows, exported, exported.map((row) => `| \`${row[0]}\` | ${row[1]} | ${row[2]} |`).join('\n'))
})
