/** What happens in the handler when something around it fails: callbacks, stores, lockers, options, shutdown. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTusHandler, StoreError, TusError, type Store } from '../src/index.ts'
import { memoryLocker } from '../src/lockers/memory.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { incompleteIds, octets, serve } from './handler-support.ts'
import type { ServeOptions } from './suites/support.ts'

/** A body that hands over `text` and then waits until it is closed or cancelled. */
function stalled(text: string) {
  const { promise: taken, resolve } = Promise.withResolvers<void>()
  const chunks = [new TextEncoder().encode(text)]
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks.shift()
        if (chunk !== undefined) return controller.enqueue(chunk)
        resolve()
        return new Promise(() => {})
      },
    },
    { highWaterMark: 0 },
  )
  return { body, taken }
}

test('two final uploads of the same partials at once, partials removed: one is complete, the other refused', async () => {
  const inner = memoryStore()
  const store: Store = {
    ...inner,
    // Both requests have seen the partials before either joins them.
    async create(upload) {
      const created = await inner.create(upload)
      if (upload.concat?.type === 'final') await new Promise((resolve) => setImmediate(resolve))
      return created
    },
  }
  const { partial, final } = serve({
    store,
    removePartials: true,
    extensions: { 'concatenation-unfinished': false },
  })
  const [one, two] = [await partial('hello '), await partial('world')]
  const answers = await Promise.all([final(one, two), final(one, two)])
  assert.deepEqual(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [201, 400],
  )
  assert.deepEqual(await incompleteIds(store), [])
})

test('POST of a final upload whose partials cannot be removed: 201, and onError hears of it', async () => {
  const inner = memoryStore()
  const store: Store = { ...inner, terminate: () => Promise.reject(new StoreError('unavailable', 'not now')) }
  const { partial, final, errors } = serve({ store, removePartials: true })
  assert.equal((await final(await partial('a'), await partial('b'))).status, 201)
  // The first one stays where another does, so that a HEAD finds it.
  assert.equal(errors.length, 1)
})

test('POST of a final upload whose finish callback fails once: 500 and nothing left, then 201', async () => {
  let calls = 0
  const { handler, store, partial, final } = serve({
    removePartials: true,
    onFinish() {
      calls++
      if (calls === 1) throw new Error('not yet')
    },
  })
  const urls = [await partial('a'), await partial('b')]
  assert.equal((await final(...urls)).status, 500)
  assert.deepEqual(await incompleteIds(store), [])
  assert.equal((await final(...urls)).status, 201)
  assert.deepEqual(await handler.sweep(), { removed: 0, skipped: 0, concatenated: 0, leftovers: 0 })
  assert.equal(calls, 2)
})

test('PATCH that completes a partial two finals wait for, the first of which fails: the second is joined', async () => {
  const inner = memoryStore()
  const broken = new Set<string>()
  const store: Store = {
    ...inner,
    concatenate(upload, partials, options) {
      if (broken.has(upload.id)) return Promise.reject(new StoreError('unavailable', 'not this one'))
      return inner.concatenate?.(upload, partials, options) ?? Promise.resolve(upload)
    },
  }
  const { create, patch, final, send, errors } = serve({ store })
  const one = await create({ 'Upload-Concat': 'partial', 'Upload-Length': '5' })
  const finals = [await final(one), await final(one)].map((response) => response.headers.get('location') ?? '')
  broken.add(finals[0]?.split('/').at(-1) ?? '')
  assert.equal((await patch(one, 0, 'hello')).status, 204)
  assert.equal((await send('HEAD', finals[1] ?? '')).headers.get('upload-offset'), '5')
  assert.equal(errors.length, 1)
})

test('PATCH whose lock is lost behind its last byte: not finished, not completed, 423', async () => {
  const inner = memoryStore()
  const locker = memoryLocker()
  let lost = false
  let finished = 0
  const { create, patch, send } = serve({
    store: {
      ...inner,
      async append(...args) {
        const appended = await inner.append(...args)
        lost = true
        return appended
      },
    },
    locker: {
      tryAcquire: (id) => locker.tryAcquire(id),
      async acquire(id, options) {
        const lock = await locker.acquire(id, options)
        return {
          release: () => lock.release(),
          guard() {
            if (lost) throw new StoreError('lock_lost', 'taken over')
          },
        }
      },
    },
    onFinish: () => void finished++,
  })
  const url = await create({ 'Upload-Length': '5' })
  assert.equal((await patch(url, 0, 'hello')).status, 423)
  assert.equal(finished, 0)
  assert.equal((await incompleteIds(inner)).length, 1)
  lost = false
  assert.equal((await send('HEAD', url)).status, 200)
  assert.equal(finished, 1)
})

test('a callback that refuses with a header no response can carry: 500, reported, no rejection', async () => {
  const { send, errors } = serve({
    onCreate() {
      throw new TusError('rejected', undefined, { headers: { 'X-Reason': 'nein – doch' } })
    },
  })
  const response = await send('POST', '/files', { headers: { 'Upload-Length': '1' } })
  assert.equal(response.status, 500)
  assert.equal(errors.length, 1)
  assert.throws(() => new TusError('rejected', undefined, { status: 204 }), /from 400 to 599/)
})

test('a download whose client goes while the storage is read: nothing is reported', async () => {
  const inner = memoryStore()
  const { promise: reading, resolve: begin } = Promise.withResolvers<void>()
  const { promise: gone, resolve: goOn } = Promise.withResolvers<void>()
  const { create, patch, send, errors } = serve({
    store: {
      ...inner,
      async *read(...args) {
        yield* inner.read?.(...args) ?? []
        begin()
        await gone
      },
    },
    downloads: true,
  })
  const url = await create({ 'Upload-Length': '5' })
  await patch(url, 0, 'hello')
  const reader = (await send('GET', url)).body?.getReader()
  assert.equal((await reader?.read())?.value?.length, 5)
  const last = reader?.read()
  await reading
  const cancelled = reader?.cancel()
  goOn()
  await Promise.all([last, cancelled])
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(errors, [])
})

test('onProgress that rejects: reported, the upload goes on', async () => {
  const { create, patch, errors } = serve({
    onProgress: () => Promise.reject(new Error('progress')),
    onError: (error) => {
      errors.push(error)
      return Promise.reject(new Error('reporter'))
    },
  })
  assert.equal((await patch(await create({ 'Upload-Length': '5' }), 0, 'hello')).status, 204)
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(errors.map(String), ['Error: progress'])
})

test('an origin rule that returns a promise, even one that rejects: nobody is allowed, nothing else happens', async () => {
  for (const answer of [() => Promise.resolve(true), () => Promise.reject(new Error('no origin'))]) {
    const allowOrigin = answer as unknown as () => boolean
    const { send } = serve({ cors: { allowOrigin, allowCredentials: true } })
    const response = await send('OPTIONS', '/files', { headers: { Origin: 'https://evil.example' } })
    assert.equal(response.headers.get('access-control-allow-origin'), null)
  }
  // An unhandled rejection would fail the test here.
  await new Promise((resolve) => setImmediate(resolve))
})

test('a Forwarded header of 60,000 characters, trusted: no more work than its length', async () => {
  const { send } = serve({ location: { trustForwarded: true } })
  const before = process.cpuUsage()
  const headers = { 'Upload-Length': '1', Forwarded: 'a'.repeat(60_000) }
  assert.equal((await send('POST', '/files', { headers })).status, 201)
  const { user } = process.cpuUsage(before)
  assert.ok(user < 1_000_000, `${user / 1e6} CPU seconds; it was 4.3 when the header was matched by a pattern`)
})

test('a base URL in another script: Location in ASCII, understood in Upload-Concat', async () => {
  const { create, patch, final } = serve({ location: { baseUrl: 'https://przykład.pl/файлы/' } })
  const url = await create({ 'Upload-Concat': 'partial', 'Upload-Length': '1' })
  assert.match(url, /^https:\/\/xn--przykad-rjb\.pl\/%D1%84[%\w]+\/[0-9a-f]{32}$/)
  const own = `/files/${url.split('/').at(-1)}`
  assert.equal((await patch(own, 0, 'a')).status, 204)
  assert.equal((await final(url)).status, 201)
})

test('a base URL without a path: its URLs and those of the mount are both understood', async () => {
  const { create, final } = serve({ location: { baseUrl: 'https://up.example.com' } })
  const url = await create({ 'Upload-Concat': 'partial', 'Upload-Length': '0' })
  const id = url.split('/').at(-1) ?? ''
  assert.equal(url, `https://up.example.com/${id}`)
  assert.equal((await final(url)).status, 201)
  assert.equal((await final(`/files/${id}`)).status, 201)
  assert.equal((await final('https://up.example.com/nothing')).status, 400)
})

test('close() while one request stalls and another waits for its lock: both end at once, 503', async () => {
  const { handler, create, patch } = serve()
  const url = await create({ 'Upload-Length': '10' })
  const first = stalled('hello')
  const running = patch(url, 0, first.body)
  await first.taken
  const waiting = patch(url, 5, stalled('x').body)
  const [closed, again] = [handler.close(), handler.close()]
  await Promise.all([closed, again])
  // The first was asked to give way for the second before the server was asked to shut down.
  assert.deepEqual([(await running).status, (await waiting).status], [423, 503])
})

test('two handlers on one store, PATCHes of one upload at the same time: one waits for the other', async () => {
  const store = memoryStore()
  const [one, two] = [serve({ store }), serve({ store })]
  const url = await one.create({ 'Upload-Length': '10' })
  const first = stalled('hello')
  const running = one.patch(url, 0, first.body)
  await first.taken
  assert.equal((await two.patch(url, 0, 'HELLO')).status, 409)
  assert.equal((await running).status, 423)
  assert.equal((await two.send('HEAD', url)).headers.get('upload-offset'), '5')
})

test('POST with all bytes, onFinish refuses with a code that bodies are refused with, too: the bytes stay', async () => {
  let calls = 0
  const { send } = serve({
    generateId: () => 'mine',
    onFinish() {
      calls++
      if (calls === 1) throw new TusError('invalid_header', 'try again', { status: 503 })
    },
  })
  const headers = { 'Upload-Length': '5', 'Content-Type': octets }
  assert.equal((await send('POST', '/files', { headers, body: 'hello' })).status, 503)
  assert.equal((await send('HEAD', '/files/mine')).headers.get('upload-offset'), '5')
  assert.equal(calls, 2)
})

test('HEAD without Tus-Resumable and with Range, downloads on: 200 and the whole length', async () => {
  const { handler, create, patch, send } = serve({ downloads: true })
  const url = await create({ 'Upload-Length': '5' })
  await patch(url, 0, 'hello')
  const response = await handler(new Request(url, { method: 'HEAD', headers: { Range: 'bytes=1-2' } }))
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-length'), '5')
  const override = { 'X-HTTP-Method-Override': 'HEAD', 'Content-Type': octets }
  assert.equal(await (await send('POST', url, { headers: override })).text(), '')
})

const refused: [name: string, options: ServeOptions, message: RegExp][] = [
  ['a lock timeout that no timer can wait for', { lockTimeoutMs: 2 ** 31 }, /lockTimeoutMs must be/],
  ['a window without length', { minRate: 1, minRateWindowMs: 0 }, /minRateWindowMs must be/],
  ['an idle timeout that no timer can wait for', { idleTimeoutMs: 2 ** 32 }, /idleTimeoutMs must be/],
  ['an expiry no date can hold', { expiration: { afterMs: Number.MAX_SAFE_INTEGER } }, /expiration\.afterMs must be/],
  ['an expiry without a time', { expiration: {} as { afterMs: number } }, /expiration\.afterMs must be/],
  ['a path that is not written as in a URL', { path: '/файлы' }, /path must be as it stands in a URL, \/%D1/],
  ['a path with dot segments', { path: '/a/../files' }, /path must be as it stands in a URL, \/files/],
  ['a path without a slash', { path: 'files' }, /path must start with one slash/],
  ['an unknown extension', { extensions: { terminate: false } as object }, /extensions has no "terminate"/],
  ['no store', { store: {} as Store }, /store has no method create/],
  ['a negative maxSize', { maxSize: -1 }, /maxSize must be/],
  ['a base URL that is none', { location: { baseUrl: 'uploads.example.com' } }, /location\.baseUrl must be/],
  ['credentials for every origin', { cors: { allowCredentials: true } }, /allowCredentials needs origins/],
]
for (const [name, options, message] of refused) {
  test(`createTusHandler with ${name}: TypeError that says so`, () => {
    assert.throws(() => serve(options), { name: 'TypeError', message })
  })
}

test('waitUntil of the platform: told of the answer, and of an onProgress that is not over by then', async () => {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  const works: Promise<unknown>[] = []
  const handler = createTusHandler({
    path: '/files',
    store: memoryStore(),
    progressIntervalMs: 0,
    onProgress: () => opened,
  })
  const tus = { 'Tus-Resumable': '1.0.0' }
  const headers = { ...tus, 'Upload-Length': '10' }
  const created = await handler(new Request('http://localhost/files', { method: 'POST', headers }))
  const request = new Request(created.headers.get('Location') ?? '', {
    method: 'PATCH',
    headers: { ...tus, 'Upload-Offset': '0', 'Content-Type': octets },
    body: 'hello',
  })
  const answer = handler(request, { waitUntil: (work) => void works.push(work) })
  assert.equal((await answer).status, 204)
  assert.equal(works.length, 2)
  assert.equal(works[0], answer)
  open()
  await Promise.all(works)
})
