/** Uploads that wait for memory, and slow ones that give theirs back. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import type { BufferMemory } from '../../src/objects/observer.ts'
import {
  another,
  assertWhole,
  body,
  collected,
  data,
  failing,
  fatal,
  feed,
  finish,
  get,
  isSame,
  kib,
  newUpload,
  part,
  paused,
  setup,
  upload,
} from './support.ts'

const bytes = data(3 * part + 100)
const tight = { bufferBudget: part }

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 })
})

/** Lets time pass until this is done. */
async function during<T>(work: Promise<T>): Promise<T> {
  let done = false
  const over = () => (done = true)
  work.then(over, over)
  for (let n = 0; n < 400 && !done; n++) {
    mock.timers.tick(100)
    await new Promise(setImmediate)
  }
  assert.ok(done, 'nothing comes of it within 40 seconds')
  return work
}

const fillings: Record<string, { first: number; atomic?: boolean; before?: number }> = {
  'less than a part': { first: 100 },
  'nearly the smallest part': { first: 16 * kib - 1 },
  'enough for a short part': { first: 20 * kib },
  'a part and a tail': { first: part + 10 },
  'a tail behind one of an earlier request': { first: 30, before: 50 },
  'a checksummed body, enough for a short part': { first: 20 * kib, atomic: true },
}

for (const [title, { first, atomic = false, before = 0 }] of Object.entries(fillings)) {
  test(`memory: a slow upload with ${title} makes way for another, and goes on where it was`, async () => {
    const { bucket, store } = setup({}, tight)
    await store.create(newUpload('a', bytes.byteLength))
    if (before > 0) await store.append(await get(store, 'a'), body(bytes.subarray(0, before)))
    const slow = feed()
    const appending = store.append(await get(store, 'a'), slow, { atomic })
    await slow.push(bytes.subarray(before, before + first))
    await during(upload(store, 'b', bytes))
    assert.ok(isSame(bucket.objects.get('b')?.bytes, bytes))
    if (atomic) assert.equal((await get(store, 'a')).offset, before)
    // Twice, so that what was read back is written again.
    await slow.push(bytes.subarray(before + first, before + first + 10))
    if (!atomic) await during(upload(store, 'c', bytes))
    const pushing = slow.push(bytes.subarray(before + first + 10, bytes.byteLength))
    await during(pushing)
    slow.end()
    const whole = await appending
    assert.equal(whole.offset, bytes.byteLength)
    await store.update(whole, { completed: true })
    await assertWhole(bucket, 'a', bytes)
  })
}

test('memory: a slow upload that has let go ends without another byte, or with all of them; nothing is lost', async () => {
  for (const length of [100, 200, bytes.byteLength]) {
    const { bucket, store } = setup({}, tight)
    await store.create(newUpload('a', length))
    const slow = feed()
    const appending = store.append(await get(store, 'a'), slow)
    await slow.push(bytes.subarray(0, 100))
    await during(upload(store, 'b', bytes))
    slow.end()
    const after = await appending
    assert.equal(after.offset, 100)
    if (length === 100) await store.update(after, { completed: true })
    else await finish(store, 'a', bytes.subarray(0, length))
    await assertWhole(bucket, 'a', bytes.subarray(0, length))
  }
})

test('memory: a slow upload that has let go throws at its end; as if it had never been', async () => {
  const { bucket, store } = setup({}, tight)
  await store.create(newUpload('a', bytes.byteLength))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, 40)))
  const slow = feed()
  const appending = store.append(await get(store, 'a'), slow)
  await slow.push(data(100, 9))
  await during(upload(store, 'b', bytes))
  assert.equal((await get(store, 'a')).offset, 140)
  slow.fail(fatal('too large'))
  await assert.rejects(appending, /too large/)
  assert.equal((await get(store, 'a')).offset, 40)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('memory: slow checksummed bodies with all of it, too short for a part; ended for others after half a minute', async () => {
  const { bucket, store } = setup({}, { bufferBudget: 3 * part })
  const start = Date.now()
  const slow = ['a', 'b', 'c'].map(async (id) => {
    await store.create(newUpload(id, bytes.byteLength))
    const source = feed()
    const appending = store.append(await get(store, id), source, { atomic: true })
    const refused = assert.rejects(appending, { code: 'body_incomplete', status: 503 })
    await source.push(bytes.subarray(0, 100))
    return refused.then(() => Date.now() - start)
  })
  await new Promise(setImmediate)
  await during(upload(store, 'other', bytes))
  assert.ok(isSame(bucket.objects.get('other')?.bytes, bytes))
  assert.ok((await Promise.race(slow)) >= 30_000)
  assert.equal((await get(store, 'a')).offset, 0)
  await during(Promise.all(['a', 'b', 'c'].map((id) => finish(store, id, bytes))))
  for (const id of ['a', 'b', 'c']) await assertWhole(bucket, id, bytes)
})

test('memory: asked to let go while its record is being written, a slow upload does so after that', async () => {
  let armed = false
  const isRecord = (call: string, key: string) => armed && call === 'put' && key === 'a.info'
  const { bucket, store, reached, resume } = paused(isRecord, {
    ...tight,
    checkpointMs: 500,
    retry: { delayMs: 1, timeoutMs: 600_000 },
  })
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  const slow = feed()
  const appending = store.append(await get(store, 'a'), slow)
  await slow.push(bytes.subarray(0, 100))
  const waiting = upload(store, 'b', bytes)
  // The third checkpoint writes a tail; in that time the other one has waited for long.
  await during(reached)
  for (let n = 0; n < 50; n++) {
    mock.timers.tick(100)
    await new Promise(setImmediate)
  }
  resume()
  await during(waiting)
  slow.end()
  assert.equal((await appending).offset, 100)
  await assertWhole(bucket, 'b', bytes)
})

test('memory: what comes while a slow upload lets go waits until that is done', async () => {
  let armed = false
  const isRecord = (call: string, key: string) => armed && call === 'put' && key === 'a.info'
  const { bucket, store, reached, resume } = paused(isRecord, { ...tight, retry: { delayMs: 1, timeoutMs: 600_000 } })
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  const slow = feed()
  const appending = store.append(await get(store, 'a'), slow)
  await slow.push(bytes.subarray(0, 100))
  const waiting = upload(store, 'b', bytes)
  await during(reached)
  const pushing = slow.push(bytes.subarray(100, 300))
  await new Promise(setImmediate)
  resume()
  await during(Promise.all([waiting, pushing]))
  await during(slow.push(bytes.subarray(300)))
  slow.end()
  await store.update(await appending, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('memory: whatever ends a request, its buffers come back', async () => {
  let broken: ((call: string, key: string) => void) | null = null
  const { bucket, store } = setup({ before: (call, key) => broken?.(call, key) }, tight)
  const strike = (struck: string) => {
    broken = (call, key) => {
      if (call === struck && key.startsWith('a')) throw fatal()
    }
  }
  for (const struck of ['createMultipart', 'putPart', 'put']) {
    await store.create(newUpload(`a-${struck}`, bytes.byteLength))
    strike(struck)
    await assert.rejects(during(store.append(await get(store, `a-${struck}`), body(bytes.subarray(0, -1)))))
    broken = null
  }
  await store.create(newUpload('a-body', bytes.byteLength))
  await assert.rejects(
    during(store.append(await get(store, 'a-body'), failing(bytes.subarray(0, 2 * part + 5), fatal()))),
  )
  // What it let go of cannot be read again.
  await store.create(newUpload('a', bytes.byteLength))
  const slow = feed()
  const appending = store.append(await get(store, 'a'), slow)
  await slow.push(bytes.subarray(0, 100))
  await during(upload(store, 'b', bytes))
  strike('get')
  void slow.push(bytes.subarray(100, 200))
  await assert.rejects(during(appending))
  broken = null
  // A single part larger than what is left would wait for ever.
  await during(upload(store, 'c', bytes))
  assert.ok(isSame(bucket.objects.get('c')?.bytes, bytes))
  await finish(another(bucket), 'a', bytes)
})

test('memory: forty uploads at once in the memory of three parts; never more than that is on its way', async () => {
  let sending = 0
  let most = 0
  const { bucket, store } = setup({}, { bufferBudget: 3 * part })
  const putPart = bucket.putPart.bind(bucket)
  bucket.putPart = async (multipart, n, chunk, options) => {
    sending += chunk.byteLength
    most = Math.max(most, sending)
    await new Promise(setImmediate)
    sending -= chunk.byteLength
    return putPart(multipart, n, chunk, options)
  }
  const sources = Array.from({ length: 40 }, (_, n) => data(2 * part + n * 1000, n + 1))
  await during(Promise.all(sources.map((source, n) => upload(store, `u${n}`, source))))
  assert.ok(most <= 3 * part && most > part, `${most} bytes`)
  for (const [n, source] of sources.entries()) await assertWhole(bucket, `u${n}`, source)
})

test('memory: what an append returned is recorded right after another upload has had its buffer', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  const after = await store.append(await get(store, 'a'), body(bytes.subarray(0, 100)))
  await upload(store, 'b', data(bytes.byteLength, 9))
  await store.update(after, { expiresAt: 5 })
  await finish(another(bucket), 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('memory: sixteen uploads of one part or of several, on a slow storage; what they hold stays below twice the soft limit', async () => {
  for (const length of [part, 3 * part + 100]) {
    let memory: BufferMemory | null = null
    let sending = 0
    let mostSending = 0
    let mostUsed = 0
    const observer = { onBuffers: (given: BufferMemory) => (memory = given) }
    const { bucket, store } = setup({}, { observer })
    /** What the storage is sent, the records aside, and what the budget counts. */
    const slowly = async <T>(bytes: Uint8Array, call: () => Promise<T>): Promise<T> => {
      sending += bytes.byteLength
      mostSending = Math.max(mostSending, sending)
      mostUsed = Math.max(mostUsed, memory?.used ?? 0)
      assert.ok(sending <= (memory?.used ?? 0), `${sending} bytes are sent, ${memory?.used} counted`)
      await new Promise((resolve) => setTimeout(resolve, 2500))
      sending -= bytes.byteLength
      return call()
    }
    const { putPart, put } = { putPart: bucket.putPart.bind(bucket), put: bucket.put.bind(bucket) }
    bucket.putPart = (multipart, n, chunk, options) => slowly(chunk, () => putPart(multipart, n, chunk, options))
    bucket.put = (key, chunk, how, options) =>
      key.endsWith('.info') ? put(key, chunk, how, options) : slowly(chunk, () => put(key, chunk, how, options))
    const sources = Array.from({ length: 16 }, (_, n) => data(length, n + 1))
    await during(Promise.all(sources.map((source, n) => upload(store, `u${n}`, source))))
    // The soft limit is one part more than an upload sends at once.
    assert.ok(mostUsed <= 2 * 5 * part && mostSending > 5 * part, `${mostUsed / part}, ${mostSending / part} parts`)
    for (const [n, source] of sources.entries()) await assertWhole(bucket, `u${n}`, source)
  }
})

for (const [title, first] of [
  ['waits for memory', part],
  ['has its tail at the front of a part', 0],
] as const) {
  test(`memory: an append that ${title} holds the tail that it found no more`, async () => {
    const { store } = setup({}, tight)
    await store.create(newUpload('a', bytes.byteLength))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, 10 * kib)))
    const other = feed()
    await store.create(newUpload('b', bytes.byteLength))
    const holding = store.append(await get(store, 'b'), other)
    if (first > 0) await other.push(bytes.subarray(0, 10))
    const found = await get(store, 'a')
    const tail = new WeakRef(found.rest?.tail.buffer ?? assert.fail('no tail'))
    const slow = feed()
    const appending = store.append(found, slow, { bounded: true })
    void slow.push(bytes.subarray(10 * kib, 10 * kib + 1))
    await collected(() => tail.deref() === undefined)
    slow.end()
    other.end()
    await during(Promise.all([holding, appending]))
    assert.equal((await get(store, 'a')).offset, 10 * kib + 1)
  })
}

test('memory: tails of many that fall silent at once are recorded a few at a time, and all of them in the end', async () => {
  let writing = 0
  let most = 0
  const { bucket, store } = setup(
    {},
    { bufferBudget: 20 * part, partConcurrency: 16, checkpointMs: 1000, retry: { delayMs: 1, timeoutMs: 600_000 } },
  )
  const put = bucket.put.bind(bucket)
  bucket.put = async (key, chunk, how, options) => {
    if (chunk.byteLength < 10 * kib) return put(key, chunk, how, options)
    writing += chunk.byteLength
    most = Math.max(most, writing)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    writing -= chunk.byteLength
    return put(key, chunk, how, options)
  }
  const ids = Array.from({ length: 16 }, (_, n) => `u${n}`)
  const feeds = []
  for (const id of ids) {
    await store.create(newUpload(id, bytes.byteLength))
    const silent = feed()
    feeds.push({ silent, appending: store.append(await get(store, id), silent, { bounded: true }) })
    await silent.push(bytes.subarray(0, 60 * kib))
  }
  const offsets = async () => (await Promise.all(ids.map((id) => get(store, id)))).map(({ offset }) => offset)
  await during(
    (async () => {
      while ((await offsets()).some((offset) => offset !== 60 * kib))
        await new Promise((resolve) => setTimeout(resolve, 500))
    })(),
  )
  // A tenth of the budget, and what the records hold besides.
  assert.ok(most <= 2 * part + 2 * kib, `${most} bytes at once`)
  for (const [n, { silent, appending }] of feeds.entries()) {
    silent.end()
    await during(appending)
    await during(finish(store, `u${n}`, bytes))
    await assertWhole(bucket, `u${n}`, bytes)
  }
})
