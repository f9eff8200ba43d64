/** All hooks in their order, a store per request, and sets of hooks as one. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { mock, test } from 'node:test'
import {
  combineHooks,
  createTusHandler,
  formatMetadata,
  parseMetadata,
  type RequestEvent,
  type Store,
  TusError,
  type UploadHooks,
} from '../src/index.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { without } from './suites/fakes.ts'
import { incompleteIds, octets, serve } from './handler-support.ts'

const tus = { 'Tus-Resumable': '1.0.0' }

function tenants(stores: Record<string, Store>) {
  const handler = createTusHandler({
    path: '/files',
    onRequest: ({ request }) => request.headers.get('X-Tenant') ?? '',
    store(_, tenant) {
      const store = stores[tenant]
      if (store === undefined) throw new TusError('rejected', `No tenant ${tenant}`)
      return store
    },
    expiration: { afterMs: 0 },
  })
  const send = (tenant: string, method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
    handler(
      new Request(new URL(path, 'http://uploads.test'), {
        method,
        headers: { ...tus, 'X-Tenant': tenant, ...headers },
        ...(body !== undefined && { body }),
      }),
    )
  return { handler, send }
}

/** Names of all hooks, as their types have them. */
const types = await readFile(new URL('../src/hooks.ts', import.meta.url), 'utf8')
const names = [...types.matchAll(/^  readonly (on\w+)\?:/gm)].map(([, name = '']) => name)

test('one upload from its creation to its removal: every hook of it, in the order that is documented', async () => {
  const seen: string[] = []
  const hooks = Object.fromEntries(names.map((name) => [name, () => void seen.push(name)]))
  const { create, patch, send, handler } = serve({ ...hooks, progressIntervalMs: 0, expiration: { afterMs: 60_000 } })
  const since = async (work: Promise<unknown>) => {
    await work
    // Of progress there may be more than one.
    return seen.splice(0).filter((name, index, all) => name !== 'onProgress' || all[index - 1] !== name)
  }
  const creation = create({ 'Upload-Length': '10' })
  assert.deepEqual(await since(creation), ['onRequest', 'onLimit', 'onCreate', 'onCreated'])
  const url = await creation
  assert.deepEqual(await since(patch(url, 0, 'hello')), ['onRequest', 'onAccess', 'onProgress'])
  const last = ['onRequest', 'onAccess', 'onProgress', 'onFinish', 'onFinished']
  assert.deepEqual(await since(patch(url, 5, 'world')), last)
  assert.deepEqual(await since(send('HEAD', url)), ['onRequest', 'onAccess'])
  assert.deepEqual(await since(send('DELETE', url)), ['onRequest', 'onAccess', 'onTerminate', 'onTerminated'])

  const parts = { 'Upload-Length': '5', 'Upload-Concat': 'partial' }
  const made = await since(send('POST', '/files', { headers: { ...parts, 'Content-Type': octets }, body: 'hello' }))
  const whole = ['onRequest', 'onLimit', 'onCreate', 'onCreated', 'onProgress', 'onPartialFinish', 'onPartialFinished']
  assert.deepEqual(made, whole)

  await create({ 'Upload-Length': '10' })
  seen.length = 0
  const later = Date.now() + 120_000
  mock.timers.enable({ apis: ['Date'], now: later })
  try {
    assert.deepEqual(await since(handler.sweep()), ['onExpire'])
  } finally {
    mock.timers.reset()
  }
})

test('docs/library.md says of every hook when it runs', async () => {
  const page = await readFile(new URL('../docs/library.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `(on\w+)` +\|/gm)].map(([, name = '']) => name)
  assert.ok(names.length >= 13)
  assert.deepEqual(rows.sort(), [...names].sort())
})

test('a store per tenant: uploads are there for their own tenant only, also under one id', async () => {
  const stores = { ann: memoryStore(), bob: memoryStore() }
  const { send } = tenants(stores)
  const created = await send('ann', 'POST', '/files', { 'Upload-Length': '5', 'Content-Type': octets }, 'hello')
  assert.equal(created.status, 201)
  const url = created.headers.get('location') ?? ''
  assert.equal((await send('ann', 'HEAD', url)).status, 200)
  assert.equal((await send('bob', 'HEAD', url)).status, 404)
  assert.equal((await send('eve', 'HEAD', url)).status, 403)
})

test('a store per tenant that can do less: its OPTIONS say so, and it is refused', async () => {
  const less = without(memoryStore(), 'concatenate', 'read')
  const { send } = tenants({ ann: memoryStore(), bob: less })
  const extensions = async (tenant: string) => (await send(tenant, 'OPTIONS', '/files')).headers.get('tus-extension')
  assert.match((await extensions('ann')) ?? '', /concatenation/)
  assert.doesNotMatch((await extensions('bob')) ?? '', /concatenation/)
  assert.equal((await send('bob', 'POST', '/files', { 'Upload-Concat': 'partial', 'Upload-Length': '1' })).status, 400)
  assert.equal((await send('ann', 'POST', '/files', { 'Upload-Concat': 'partial', 'Upload-Length': '1' })).status, 201)
})

test('sweep with a store per request: of the store it is given; without one a TypeError', async () => {
  const stores = { ann: memoryStore(), bob: memoryStore() }
  const { handler, send } = tenants(stores)
  for (const tenant of ['ann', 'bob']) {
    assert.equal((await send(tenant, 'POST', '/files', { 'Upload-Length': '5' })).status, 201)
  }
  await assert.rejects(handler.sweep(), { name: 'TypeError', message: /which store/ })
  assert.equal((await handler.sweep(stores.ann)).removed, 1)
  assert.deepEqual(await incompleteIds(stores.ann), [])
  assert.equal((await incompleteIds(stores.bob)).length, 1)
})

test('a function that returns no store: 500, and onError is told which method is missing', async () => {
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const handler = createTusHandler({ path: '/files', store: () => ({}) as Store, onError })
  const request = new Request('http://uploads.test/files', {
    method: 'POST',
    headers: { ...tus, 'Upload-Length': '1' },
  })
  assert.equal((await handler(request)).status, 500)
  assert.match(String(errors[0]), /store has no method create/)
})

test('two handlers’ close(): running bodies of every tenant end', async () => {
  const { handler, send } = tenants({ ann: memoryStore() })
  await handler.close()
  assert.equal((await send('ann', 'POST', '/files', { 'Upload-Length': '5' })).status, 503)
})

test('combineHooks: contexts become one, changes add up, replies are merged, the later wins', async () => {
  const seen: string[] = []
  const first: UploadHooks<{ user?: string; role?: string }> = {
    onRequest: () => ({ user: 'ann', role: 'guest' }),
    onCreate: ({ upload }) => ({
      id: `one/${upload.id}`,
      metadata: { a: '1' },
      attributes: { x: '1', y: '1' },
      reply: { headers: { 'X-A': '1', 'X-B': '1' } },
    }),
    onFinish: () => ({ status: 200, headers: { 'X-C': '1' }, body: 'first' }),
  }
  const second: typeof first = {
    onRequest: () => ({ role: 'admin' }),
    onCreate: ({ upload, context }) => {
      seen.push(`${context?.user} ${context?.role} ${JSON.stringify(parseMetadata(upload.metadata))}`)
      return { id: `two/${upload.id}`, attributes: { y: '2' }, reply: { headers: { 'X-B': '2' } } }
    },
    onFinish: () => ({ body: 'second' }),
  }
  const { send, store } = serve(combineHooks([first, {}, second]))
  const headers = { 'Upload-Length': '5', 'Content-Type': octets }
  const answer = await send('POST', '/files', { headers, body: 'hello' })
  assert.equal(answer.status, 200)
  assert.deepEqual(
    ['x-a', 'x-b', 'x-c'].map((name) => answer.headers.get(name)),
    ['1', '2', '1'],
  )
  assert.equal(await answer.text(), 'second')
  assert.deepEqual(seen, ['ann admin {"a":"1"}'])
  const id = (answer.headers.get('location') ?? '').split('/files/')[1] ?? ''
  assert.match(id, /^two\/one\/[0-9a-f]{32}$/)
  const upload = await store.get(id)
  assert.deepEqual(upload?.attributes, { x: '1', y: '2' })
  assert.equal(upload.metadata, 'a MQ==')
})

test('combineHooks: the first that refuses ends it, and what comes after it does not run', async () => {
  const seen: string[] = []
  const refusing = { onTerminate: () => Promise.reject(new TusError('rejected', 'no')) }
  const { send, create } = serve(combineHooks([refusing, { onTerminate: () => void seen.push('second') }]))
  const url = await create({ 'Upload-Length': '5' })
  assert.equal((await send('DELETE', url)).status, 403)
  assert.deepEqual(seen, [])
})

test('combineHooks: of what has happened all hear, whoever fails', async () => {
  const seen: string[] = []
  const failing = { onCreated: () => Promise.reject(new Error('out')) }
  const { create, errors } = serve(combineHooks([failing, failing, { onCreated: () => void seen.push('third') }]))
  await create({ 'Upload-Length': '5' })
  assert.deepEqual(seen, ['third'])
  assert.equal(errors.length, 1)
  assert.ok(errors[0] instanceof AggregateError && errors[0].errors.length === 2)
})

test('combineHooks: one onProgress stops the upload, another fails: it is stopped', async () => {
  const stopping = { onProgress: () => Promise.reject(new TusError('rejected', 'Quota', { status: 402 })) }
  const failing = { onProgress: () => Promise.reject(new Error('out')) }
  const { create, patch } = serve({ progressIntervalMs: 0, ...combineHooks([failing, stopping]) })
  assert.equal((await patch(await create({ 'Upload-Length': '5' }), 0, 'hello')).status, 402)
})

test('combineHooks within combineHooks: onRequest sees what those outside have returned', async () => {
  const seen: unknown[] = []
  const see: UploadHooks<object> = { onRequest: ({ context }: RequestEvent) => ({ n: seen.push(context) }) }
  const { create } = serve(combineHooks([{ onRequest: () => ({ user: 'ann' }) }, combineHooks([see, see])]))
  await create({ 'Upload-Length': '5' })
  assert.deepEqual(seen, [{ user: 'ann' }, { user: 'ann', n: 1 }])
})

test('combineHooks of sets without hooks: none, so nothing is done for them', () => {
  assert.deepEqual(combineHooks([{}, {}]), {})
})

test('formatMetadata: what parseMetadata reads back; null for nothing; keys and values that cannot be are refused', () => {
  const metadata = { filename: 'grüße, „x“.txt', empty: '', long: 'x'.repeat(200_000) }
  assert.deepEqual({ ...parseMetadata(formatMetadata(metadata)) }, metadata)
  assert.equal(formatMetadata({}), null)
  for (const key of ['', 'a b', 'a,b', 'ü']) assert.throws(() => formatMetadata({ [key]: 'x' }), TypeError, key)
  assert.throws(() => formatMetadata({ a: 1 } as unknown as Record<string, string>), TypeError)
})
