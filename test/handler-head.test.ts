/** When HEAD takes an upload's lock, and when it does without. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Locker, Store, Upload } from '../src/index.ts'
import { memoryLocker } from '../src/lockers/memory.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { serve } from './handler-support.ts'

/** A locker that tells how often a lock was wanted, and a store that runs `state.onGet` before it answers. */
function watched() {
  const state = { taken: 0, looks: 0, onGet: async (_upload: Upload | null) => {} }
  const inner = memoryLocker()
  const locker: Locker = {
    isFree(id) {
      state.looks++
      return inner.isFree(id)
    },
    acquire(id, options) {
      state.taken++
      return inner.acquire(id, options)
    },
    tryAcquire(id) {
      state.taken++
      return inner.tryAcquire(id)
    },
  }
  const kept = memoryStore()
  const store: Store = {
    ...kept,
    async get(id) {
      const upload = await kept.get(id)
      await state.onGet(upload)
      return upload
    },
  }
  return { state, locker, inner, store, kept }
}

const offset = async (response: Promise<Response>) => {
  const { status, headers } = await response
  return `${status} ${headers.get('upload-offset')}`
}

test('HEAD on an incomplete upload that nobody works on: no lock is taken', async () => {
  const { state, locker, store } = watched()
  const { create, patch, send } = serve({ store, locker })
  const url = await create({ 'Upload-Length': '10' })
  await patch(url, 0, 'hello')
  state.taken = 0
  assert.equal(await offset(send('HEAD', url)), '200 5')
  assert.equal(state.taken, 0)
})

test('HEAD on a completed upload, its lock is held: answered at once, no lock is taken', async () => {
  const { state, locker, inner, store } = watched()
  const { create, patch, send } = serve({ store, locker })
  const url = await create({ 'Upload-Length': '5' })
  await patch(url, 0, 'hello')
  const lock = await inner.acquire(url.split('/').at(-1) ?? '', { signal: new AbortController().signal })
  state.taken = 0
  assert.equal(await offset(send('HEAD', url)), '200 5')
  assert.equal(state.taken, 0)
  await lock.release()
})

test('HEAD, somebody takes the lock while the record is read: waits for them and tells what they left', async () => {
  const { state, locker, inner, store, kept } = watched()
  const { create, patch, send } = serve({ store, locker })
  const url = await create({ 'Upload-Length': '10' })
  await patch(url, 0, 'hello')
  const id = url.split('/').at(-1) ?? ''
  state.taken = 0
  state.onGet = async (upload) => {
    state.onGet = async () => {}
    const giveWay = async () => {
      assert.ok(upload)
      await kept.append(upload, one())
      await lock.release()
    }
    const lock = await inner.acquire(id, {
      signal: new AbortController().signal,
      onContention: () => void giveWay(),
    })
  }
  assert.equal(await offset(send('HEAD', url)), '200 6')
  assert.equal(state.taken, 2)
})

test('HEAD, the lock is held until the record is read: read again under the lock', async () => {
  const { state, locker, inner, store, kept } = watched()
  const { create, send } = serve({ store, locker })
  const url = await create({ 'Upload-Length': '10' })
  const lock = await inner.acquire(url.split('/').at(-1) ?? '', { signal: new AbortController().signal })
  state.taken = 0
  state.onGet = async (upload) => {
    state.onGet = async () => {}
    assert.ok(upload)
    await kept.append(upload, one())
    await lock.release()
  }
  assert.equal(await offset(send('HEAD', url)), '200 1')
  assert.equal(state.taken, 1)
})

test('HEAD on an upload whose finish callback failed: runs it under the lock', async () => {
  const { state, locker, store } = watched()
  let calls = 0
  const { create, patch, send } = serve({
    store,
    locker,
    onFinish() {
      if (++calls === 1) throw new Error('not yet')
    },
  })
  const url = await create({ 'Upload-Length': '5' })
  assert.equal((await patch(url, 0, 'hello')).status, 500)
  state.taken = 0
  assert.equal(await offset(send('HEAD', url)), '200 5')
  assert.deepEqual([calls, state.taken], [2, 1])
})

test('HEAD with a locker that cannot tell whether a lock is free: takes it', async () => {
  const { state, locker, store } = watched()
  const rest = { ...locker }
  delete rest.isFree
  const { create, send } = serve({ store, locker: rest })
  const url = await create({ 'Upload-Length': '5' })
  assert.equal(await offset(send('HEAD', url)), '200 0')
  assert.deepEqual([state.taken, state.looks], [1, 0])
})

async function* one(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1)
}
