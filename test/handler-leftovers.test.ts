/** What a request that fails on its way leaves in the store, and who removes it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError, type Store, type UploadChange } from '../src/index.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { incompleteIds, octets, serve } from './handler-support.ts'

/** A store whose `update` fails the next `fails` times that `when` holds. */
function forgetful(when: (change: UploadChange) => boolean) {
  const inner = memoryStore()
  const state = { fails: 0 }
  const store: Store = {
    ...inner,
    async append(...args) {
      // So that an expiry counted from now differs from the one at the creation.
      for (const now = Date.now(); Date.now() <= now;);
      return inner.append(...args)
    },
    update(upload, change) {
      if (!when(change) || state.fails-- <= 0) return inner.update(upload, change)
      return Promise.reject(new StoreError('unavailable', 'not now'))
    },
  }
  return { store, state }
}

test('POST of a final upload, onFinish succeeds, recording that fails: 503, it stays and a HEAD completes it', async () => {
  const { store, state } = forgetful(({ completed }) => completed === true)
  const finished: string[] = []
  const { partial, final, send } = serve({
    store,
    removePartials: true,
    onFinish: ({ upload }) => void finished.push(upload.id),
  })
  const urls = [await partial('a'), await partial('b')]
  state.fails = 1
  assert.equal((await final(...urls)).status, 503)
  assert.deepEqual(await incompleteIds(store), finished)
  const answer = await send('HEAD', `/files/${finished[0]}`)
  assert.deepEqual([answer.status, answer.headers.get('upload-offset')], [200, '2'])
  assert.deepEqual(await incompleteIds(store), [])
  for (const url of urls) assert.equal((await send('HEAD', url)).status, 404)
})

test('POST of a final upload without onFinish, recording its completion fails: 503 and nothing left', async () => {
  const { store, state } = forgetful(({ completed }) => completed === true)
  const { partial, final } = serve({ store })
  const url = await partial('a')
  state.fails = 1
  assert.equal((await final(url)).status, 503)
  assert.deepEqual(await incompleteIds(store), [])
})

for (const [what, headers, body] of [
  ['all bytes', { 'Upload-Length': '5', 'Content-Type': octets }, 'hello'],
  ['the first bytes', { 'Upload-Length': '9', 'Content-Type': octets }, 'hello'],
  ['no bytes wanted', { 'Upload-Length': '0' }, undefined],
] as const) {
  test(`POST with ${what}, the store cannot record what came of it: 503 and nothing left`, async () => {
    const { store, state } = forgetful(() => true)
    const ids: string[] = []
    const { send } = serve({
      store,
      expiration: { afterMs: 1 },
      generateId: () => 'mine',
      onCreate: ({ upload }) => void ids.push(upload.id),
    })
    state.fails = 1
    assert.equal((await send('POST', '/files', { headers, ...(body !== undefined && { body }) })).status, 503)
    assert.deepEqual(ids, ['mine'])
    assert.equal(await store.get('mine'), null)
  })
}

test('POST with all bytes, onFinish succeeds, recording that fails: the upload stays, a HEAD completes it', async () => {
  const { store, state } = forgetful(({ completed }) => completed === true)
  let finished = 0
  const { send } = serve({ store, generateId: () => 'mine', onFinish: () => void finished++ })
  state.fails = 1
  const headers = { 'Upload-Length': '5', 'Content-Type': octets }
  assert.equal((await send('POST', '/files', { headers, body: 'hello' })).status, 503)
  assert.deepEqual(await incompleteIds(store), ['mine'])
  assert.equal((await send('HEAD', '/files/mine')).headers.get('upload-offset'), '5')
  assert.deepEqual(await incompleteIds(store), [])
  assert.equal(finished, 2)
})

/** Two partials of a final upload that has been completed, and could not be removed. */
async function leftPartials() {
  const inner = memoryStore()
  const state = { fails: true }
  const store: Store = {
    ...inner,
    terminate: (upload) =>
      state.fails ? Promise.reject(new StoreError('unavailable', 'not now')) : inner.terminate(upload),
  }
  const ids = ['one', 'two', 'whole']
  const server = serve({ store, removePartials: true, generateId: () => ids.shift() ?? 'more' })
  assert.equal((await server.final(await server.partial('a'), await server.partial('b'))).status, 201)
  state.fails = false
  return { ...server, store }
}

test('HEAD on a completed final upload whose partials could not be removed: removes them', async () => {
  const { store, send } = await leftPartials()
  assert.ok(await store.get('one'))
  assert.equal((await send('HEAD', '/files/whole')).headers.get('upload-offset'), '2')
  assert.deepEqual([await store.get('one'), await store.get('two')], [null, null])
  assert.equal((await send('HEAD', '/files/whole')).status, 200)
})

test('HEAD on a completed final upload, only some partials had been removed: the others go as well', async () => {
  const { store, send } = await leftPartials()
  const two = await store.get('two')
  assert.ok(two)
  await store.terminate(two)
  assert.equal((await send('HEAD', '/files/whole')).status, 200)
  assert.equal(await store.get('one'), null)
})

test('HEAD on a completed final upload, an id of its partials is used anew: that one stays', async () => {
  const { store, send } = await leftPartials()
  const one = await store.get('one')
  assert.ok(one)
  await store.terminate(one)
  await store.create({ ...one, createdAt: one.createdAt + 10_000 })
  await store.update({ ...one, offset: 1 }, { completed: true })
  assert.equal((await send('HEAD', '/files/whole')).status, 200)
  assert.ok(await store.get('one'))
})

test('a final upload that waits for a partial whose id is used anew by somebody else: their bytes are not joined', async () => {
  const { send, create, patch, final, store } = serve({
    generateId: (request) => request.headers.get('X-Id') ?? 'final',
  })
  const first = await create({ 'X-Id': 'doc', 'Upload-Concat': 'partial', 'Upload-Length': '6' })
  const waiting = (await final(first)).headers.get('location') ?? ''
  assert.equal((await send('DELETE', first)).status, 204)
  const now = Date.now()
  while (Date.now() === now);
  await create({ 'X-Id': 'doc', 'Upload-Concat': 'partial', 'Upload-Length': '6' })
  assert.equal((await patch(first, 0, 'secret')).status, 204)
  assert.equal((await send('HEAD', waiting)).headers.get('upload-offset'), null)
  assert.equal((await store.get('final'))?.completed, false)
})
