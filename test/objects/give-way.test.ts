/** Requests that wait for memory while somebody else wants their upload. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { beforeEach, mock, test } from 'node:test'
import { octets, serve } from '../handler-support.ts'
import { another, assertWhole, body, data, feed, finish, get, kib, newUpload, part, setup } from './support.ts'

const bytes = data(3 * part + 100)
const tail = 10 * kib
const stepMs = 100

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 })
})

async function step(): Promise<void> {
  mock.timers.tick(stepMs)
  await new Promise(setImmediate)
}

/** What comes of it, and how many milliseconds pass until then. */
async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
  let done = false
  const over = () => (done = true)
  work.then(over, over)
  let ms = 0
  for (; !done; ms += stepMs) {
    assert.ok(ms < 60_000, 'nothing comes of it within a minute')
    await step()
  }
  return { result: await work, ms }
}

/** An upload with a tail, and all memory with bodies that may keep it for half a minute. */
async function short() {
  const { bucket, store } = setup({}, { bufferBudget: 4 * part })
  const server = serve({ store, generateId: () => 'b' })
  const url = await server.create({ 'Upload-Length': String(bytes.byteLength) })
  await store.append(await get(store, 'b'), body(bytes.subarray(0, tail)))
  const holders = []
  for (const id of ['x', 'y', 'z']) {
    await store.create(newUpload(id, bytes.byteLength))
    const source = feed()
    const appending = store.append(await get(store, id), source, { atomic: true })
    appending.catch(() => {})
    await source.push(bytes.subarray(0, 100))
    holders.push({ source, appending })
  }
  return { ...server, bucket, store, url, holders }
}

/** A request that sends so many bytes, of as many or of more. */
function patching(
  { send, url }: Pick<Awaited<ReturnType<typeof short>>, 'send' | 'url'>,
  { count, headers = {}, ends = false }: { count: number; headers?: Record<string, string>; ends?: boolean },
): Promise<Response> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes.subarray(tail, tail + count))
      if (ends) controller.close()
    },
  })
  const always = { 'Upload-Offset': String(tail), 'Content-Type': octets }
  return send('PATCH', url, { headers: { ...always, ...headers }, body: source })
}

const sha1 = (count: number): string =>
  createHash('sha1')
    .update(bytes.subarray(tail, tail + count))
    .digest('base64')

const bodies: Record<string, { request: Parameters<typeof patching>[1]; status: number }> = {
  'a body with more to come': { request: { count: 1000, headers: { 'Content-Length': '20000' } }, status: 423 },
  'a body that is all here': {
    request: { count: 1000, headers: { 'Content-Length': '1000' }, ends: true },
    status: 423,
  },
  'a chunked body': { request: { count: 1000 }, status: 423 },
  'a checksummed body with more to come': {
    request: { count: 1000, headers: { 'Content-Length': '20000', 'Upload-Checksum': `sha1 ${sha1(20_000)}` } },
    status: 423,
  },
  'a checksummed body that is all here': {
    request: {
      count: 1000,
      headers: { 'Content-Length': '1000', 'Upload-Checksum': `sha1 ${sha1(1000)}` },
      ends: true,
    },
    status: 503,
  },
}

for (const [title, { request, status }] of Object.entries(bodies)) {
  test(`give way: ${title} waits for memory and a HEAD comes; answered within a second, the upload goes on`, async () => {
    const at = await short()
    const patched = patching(at, request)
    for (let n = 0; n < 10; n++) await step()
    const head = await timed(at.send('HEAD', at.url))
    assert.deepEqual([head.result.status, head.result.headers.get('upload-offset')], [200, String(tail)])
    assert.ok(head.ms <= 1000, `the HEAD took ${head.ms} ms`)
    assert.equal((await patched).status, status)
    await timed(finish(at.store, 'b', bytes))
    await assertWhole(at.bucket, 'b', bytes)
  })
}

test('give way: a request waits for memory and the upload is deleted; it is gone within a second', async () => {
  const at = await short()
  const patched = patching(at, { count: 1000 })
  for (let n = 0; n < 10; n++) await step()
  const deleted = await timed(at.send('DELETE', at.url))
  assert.equal(deleted.result.status, 204)
  assert.ok(deleted.ms <= 1000, `the DELETE took ${deleted.ms} ms`)
  assert.equal((await patched).status, 423)
})

test('give way: a request waits for memory and the server shuts down; answered within a second', async () => {
  const at = await short()
  const patched = patching(at, { count: 1000 })
  for (let n = 0; n < 10; n++) await step()
  const closed = await timed(at.handler.close())
  assert.ok(closed.ms <= 1000, `the end took ${closed.ms} ms`)
  assert.equal((await patched).status, 503)
})

test('give way: a HEAD comes in the middle of a part on its way; answered within a second, with all that came', async () => {
  const long = data(12 * part)
  const { bucket, store } = setup({ streams: () => {} })
  const server = serve({ store, generateId: () => 'b' })
  const url = await server.create({ 'Upload-Length': String(long.byteLength) })
  const sent = 9 * part + 100
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < sent; at += 10_000) controller.enqueue(long.subarray(at, Math.min(at + 10_000, sent)))
    },
  })
  const headers = { 'Upload-Offset': '0', 'Content-Type': octets, 'Content-Length': String(long.byteLength) }
  const patched = server.send('PATCH', url, { headers, body: source })
  for (let n = 0; n < 3; n++) await step()
  const head = await timed(server.send('HEAD', url))
  assert.deepEqual([head.result.status, head.result.headers.get('upload-offset')], [200, String(sent)])
  assert.ok(head.ms <= 1000, `the HEAD took ${head.ms} ms`)
  assert.equal((await patched).status, 423)
  assert.deepEqual(
    (await get(another(bucket), 'b')).rest?.parts.map(({ size }) => size),
    [7 * part, 2 * part + 100],
  )
  await timed(finish(store, 'b', long))
  await assertWhole(bucket, 'b', long)
})

test('give way: a body of several parts is told to end while it waits for the next one; what is stored is kept', async () => {
  const { bucket, store } = setup({}, { bufferBudget: 3 * part, partConcurrency: 1 })
  await store.create(newUpload('b', bytes.byteLength))
  const source = feed()
  let isStopped = false
  const appending = store.append(await get(store, 'b'), source, { isStopped: () => isStopped })
  await source.push(bytes.subarray(0, part))
  await store.create(newUpload('x', bytes.byteLength))
  const other = feed()
  const holding = store.append(await get(store, 'x'), other, { atomic: true })
  await other.push(bytes.subarray(0, 100))
  await store.create(newUpload('y', bytes.byteLength))
  const third = feed()
  const keeping = store.append(await get(store, 'y'), third, { atomic: true })
  await third.push(bytes.subarray(0, 100))
  const pushing = source.push(bytes.subarray(part, part + 1000))
  for (let n = 0; n < 5; n++) await step()
  isStopped = true
  await timed(pushing)
  source.end()
  assert.equal((await timed(appending)).result.offset, part)
  assert.equal((await get(another(bucket), 'b')).offset, part)
  other.end()
  third.end()
  await timed(Promise.all([holding, keeping]))
  await timed(finish(store, 'b', bytes))
  await assertWhole(bucket, 'b', bytes)
})
