/** Traces: of the running server, as a collector gets them, and of the library under an SDK of the application. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createUpload, temporaryDirectory, tus } from './cli-support.ts'
import { all } from './hooks/client.ts'
import { startReceiver } from './hooks/receiver.ts'
import { startAzurite } from './servers/azurite.ts'
import { startCollector } from './support/otlp.ts'
import { inherited } from './support/environment.ts'
import { startServer } from './support/server.ts'

const octets = { 'Content-Type': 'application/offset+octet-stream' }
const json = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_BSP_SCHEDULE_DELAY: '50' }
const traceId = '0af7651916cd43dd8448eb211c80319c'
const traceparent = { traceparent: `00-${traceId}-b7ad6b7169203331-01` }
const root = new URL('../', import.meta.url).pathname

test('a PATCH with traceparent: spans of request, lock and store in the client’s trace, each below its parent', async () => {
  await using collector = await startCollector()
  await using server = await startServer({ env: { ...json, OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } })
  const url = await createUpload(server.origin, 5)
  const headers = { ...tus, ...octets, ...traceparent, 'Upload-Offset': '0', 'X-Request-Id': 'traced-1' }
  const answer = await fetch(url, { method: 'PATCH', headers, body: 'hello' })
  assert.equal(answer.status, 204)
  const [request] = await collector.received('PATCH')
  assert.ok(request)
  assert.deepEqual([request.traceId, request.parentSpanId, request.kind], [traceId, 'b7ad6b7169203331', 2])
  const { attributes } = request
  assert.equal(attributes['http.request.method'], 'PATCH')
  assert.equal(Number(attributes['http.response.status_code']), 204)
  assert.equal(attributes['fileloft.request.id'], 'traced-1')
  assert.equal(request.resource['service.name'], 'fileloft')
  const id = url.slice(url.lastIndexOf('/') + 1)
  for (const name of ['lock.acquire', 'store.get', 'store.append', 'store.update']) {
    const [span] = (await collector.received(name)).filter((each) => each.traceId === traceId)
    assert.deepEqual([span?.parentSpanId, span?.attributes['fileloft.upload.id']], [request.spanId, id], name)
  }
  const line = await server.logged(({ method }) => method === 'PATCH')
  assert.equal(line['traceId'], traceId)
  // A request without a trace begins one.
  const [post] = await collector.received('POST')
  assert.ok(post && post.parentSpanId === '' && post.traceId !== traceId)
  assert.ok(collector.spans.every((span) => !JSON.stringify(span.attributes).includes('?')))
})

test('webhooks: those of a traced request carry its trace, whether they are waited for or kept; without tracing none', async () => {
  await using collector = await startCollector()
  await using receiver = await startReceiver()
  const hooks = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all }
  {
    await using server = await startServer({
      env: { ...json, ...hooks, OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
    })
    const url = await createUpload(server.origin, 5, traceparent)
    await receiver.until(() => receiver.of('post-create').length === 1)
    const headers = { ...tus, ...octets, ...traceparent, 'Upload-Offset': '0' }
    assert.equal((await fetch(url, { method: 'PATCH', headers, body: 'hello' })).status, 204)
    await receiver.until(() => receiver.of('post-finish').length === 1)
    assert.equal((await fetch(url, { method: 'DELETE', headers: tus })).status, 204)
    await receiver.until(() => receiver.of('post-terminate').length === 1)
    const told = new Map(receiver.deliveries.map(({ hook, headers: { traceparent: value } }) => [hook.Type, value]))
    for (const type of ['pre-create', 'post-create', 'pre-finish', 'post-finish']) {
      assert.match(String(told.get(type)), new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`), type)
    }
    // Below the span of the hook, which is below that of the request.
    const parent = (type: string) => String(told.get(type)).split('-')[2]
    const [onCreate] = await collector.received('hook onCreate')
    const [onFinish] = await collector.received('hook onFinish')
    assert.deepEqual([parent('pre-create'), parent('pre-finish')], [onCreate?.spanId, onFinish?.spanId])
    // A request without a trace has begun one.
    const [remove] = await collector.received('DELETE')
    for (const type of ['pre-terminate', 'post-terminate']) {
      assert.match(String(told.get(type)), new RegExp(`^00-${remove?.traceId}-`), type)
    }
  }
  await using untraced = await startServer({ env: hooks })
  await createUpload(untraced.origin, 5, traceparent)
  assert.equal(receiver.of('pre-create').at(-1)?.headers['traceparent'], undefined)
})

test('a failure of the store: its span and that of the request are errors; a 404 is none', async () => {
  await using collector = await startCollector()
  await using server = await startServer({ env: { ...json, OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } })
  const missing = await fetch(`${server.url}/none?token=secret`, { method: 'HEAD', headers: tus })
  assert.equal(missing.status, 404)
  const [head] = await collector.received('HEAD')
  assert.deepEqual([head?.status.code ?? 0, head?.attributes['url.path']], [0, '/files/none'])

  const url = await createUpload(server.origin, 5)
  writeFileSync(join(server.dataDir, `${url.slice(url.lastIndexOf('/') + 1)}.info`), '{broken')
  assert.equal((await fetch(url, { method: 'HEAD', headers: tus })).status, 500)
  const [, failed] = await collector.received('HEAD', 2)
  const get = (await collector.received('store.get')).find(({ parentSpanId }) => parentSpanId === failed?.spanId)
  assert.deepEqual([failed?.status.code, get?.status.code], [2, 2])
  assert.equal(get?.attributes['error.type'], 'StoreError corrupt')
})

test('object storage: each call below that of the store; spans that are left are sent at a shutdown', async (t) => {
  await using azurite = await startAzurite()
  if (azurite === null) return t.skip('Azurite is not installed')
  await using collector = await startCollector()
  await using server = await startServer({
    env: {
      ...json,
      OTEL_BSP_SCHEDULE_DELAY: '60000',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.endpoint}/v1/traces`,
      OTEL_SERVICE_NAME: 'uploads',
      FILELOFT_AZURE_CONTAINER: await azurite.newContainer(),
      FILELOFT_AZURE_CONNECTION_STRING: azurite.connectionString,
      FILELOFT_DATA_DIR: '',
    },
  })
  await createUpload(server.origin, 5, traceparent)
  assert.deepEqual(collector.spans, [])
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  const [create] = await collector.received('store.create')
  const [put] = await collector.received('storage.put')
  assert.deepEqual([put?.traceId, put?.parentSpanId, put?.kind], [traceId, create?.spanId, 3])
  assert.equal(put?.resource['service.name'], 'uploads')
})

test('without OTEL_ variables the SDK is not loaded, and nothing is sent', async () => {
  await using server = await startServer({
    nodeArgs: ['--import', `data:text/javascript,${encodeURIComponent(watcher)}`],
  })
  await createUpload(server.origin, 5, traceparent)
  await server.stop()
  assert.ok(!server.log.some((line) => line.includes('loaded sdk-node')), server.log.join('\n'))
})

/** Says when the SDK is loaded. */
const watcher = `import { registerHooks } from 'node:module'
registerHooks({ resolve(name, context, next) {
  if (name === '@opentelemetry/sdk-node') console.log('loaded sdk-node')
  return next(name, context)
} })`

test('OTEL_ variables where the SDK is not installed: one line that says what to install, exit code 1', async () => {
  using directory = temporaryDirectory()
  // The sources beside packages without the SDK.
  const { path } = directory
  cpSync(join(root, 'src'), join(path, 'src'), { recursive: true })
  cpSync(join(root, 'package.json'), join(path, 'package.json'))
  const packages = join(path, 'node_modules')
  mkdirSync(packages)
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== '@opentelemetry' && name !== '.bin')
      symlinkSync(join(root, 'node_modules', name), join(packages, name))
  }
  const env = {
    ...inherited,
    OTEL_TRACES_EXPORTER: 'otlp',
    FILELOFT_BIND: '127.0.0.1:0',
    FILELOFT_DATA_DIR: join(path, 'data'),
  }
  await assert.rejects(
    promisify(execFile)(process.execPath, ['src/node/cli.ts'], { cwd: path, env }),
    ({ code, stderr }: { code: number; stderr: string }) => {
      assert.equal(code, 1, stderr)
      assert.match(stderr, /^fileloft: .*npm install @opentelemetry\/api @opentelemetry\/sdk-node\n$/)
      return true
    },
  )
})

test('a collector that is away: requests are answered, the shutdown ends in time', async () => {
  await using server = await startServer({
    env: { ...json, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', FILELOFT_SHUTDOWN_TIMEOUT: '20' },
  })
  await createUpload(server.origin, 5)
  const started = Date.now()
  assert.deepEqual(await server.stop(), { code: 0, signal: null })
  assert.ok(Date.now() - started < 5_000)
})

test('a variable with a wrong value: logged once, however many threads there are', async () => {
  await using server = await startServer({
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_TRACES_SAMPLER: 'nonsense', FILELOFT_WORKERS: '3' },
  })
  await server.stop()
  assert.equal(server.log.filter((line) => line.includes('unknown OTEL_TRACES_SAMPLER value')).length, 1)
})

test('fileloft/tracing under an SDK of the application: request, hooks and store; headers for other services', async () => {
  await using collector = await startCollector()
  const program = `
    import { NodeSDK } from '@opentelemetry/sdk-node'
    import { createTracedHandler, traceHeaders } from ${JSON.stringify(join(root, 'src/tracing.ts'))}
    import { memoryStore } from ${JSON.stringify(join(root, 'src/stores/memory.ts'))}
    const sdk = new NodeSDK({ serviceName: 'app', metricReaders: [], logRecordProcessors: [] })
    sdk.start()
    const handler = createTracedHandler({
      path: '/files',
      store: memoryStore(),
      downloads: true,
      onFinish: () => console.log(traceHeaders().traceparent),
      onRequest: () => { console.log('request') },
    })
    const tus = { 'Tus-Resumable': '1.0.0' }
    const octets = { 'Content-Type': 'application/offset+octet-stream' }
    const ask = (url, method, headers, body) => handler(new Request(url, { method, headers: { ...tus, ...headers }, body, duplex: 'half' }))
    const made = await ask('http://a/files', 'POST', { ...octets, 'Upload-Length': '5', ...${JSON.stringify(traceparent)} }, 'hello')
    const got = await ask(made.headers.get('location'), 'GET', {})
    console.log(await got.text(), handler.extensions.includes('creation'))
    await handler.close()
    await sdk.shutdown()
  `
  const env = { ...inherited, ...json, OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint }
  const args = ['--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env })
  const [post] = await collector.received('POST')
  const [finish] = await collector.received('hook onFinish')
  const [get] = await collector.received('GET')
  const [read] = await collector.received('store.read')
  assert.equal(post?.traceId, traceId)
  assert.equal(finish?.parentSpanId, post?.spanId)
  assert.equal(read?.parentSpanId, get?.spanId)
  assert.deepEqual(stdout.trim().split('\n'), [
    'request',
    `00-${traceId}-${finish?.spanId}-01`,
    'request',
    'hello true',
  ])
})
