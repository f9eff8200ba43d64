/** What a long request records while it runs. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { ObjectUpload } from '../../src/objects/record.ts'
import {
  another,
  assertWhole,
  body,
  code,
  data,
  fatal,
  finish,
  gate,
  get,
  isSame,
  newUpload,
  part,
  setup,
} from './support.ts'
import { type SimulatedBucket } from './simulated-bucket.ts'

const bytes = data(8 * part + 100)

/** Waits for the next record to be written. */
function recording(options = {}) {
  let next = gate()
  const { bucket, store } = setup(
    {
      after(call, key) {
        if (call === 'put' && key === 'a.info') next.open()
      },
    },
    { checkpointMs: 1, ...options },
  )
  const recorded = async () => {
    next = gate()
    await next.opened
  }
  return { bucket, store, recorded }
}

const seen = (bucket: SimulatedBucket): Promise<ObjectUpload> => get(another(bucket), 'a')

test('checkpoint: parts that came to rest are recorded while the body goes on; a crash then costs only what came later', async () => {
  const { bucket, store } = recording()
  const created = await store.create(newUpload('a', bytes.byteLength))
  const offsets: number[] = []
  const told: number[] = []
  async function* slow() {
    for (let n = 0; n < 4; n++) {
      yield bytes.subarray(n * 2 * part, (n + 1) * 2 * part)
      while ((await seen(bucket)).offset <= (offsets.at(-1) ?? 0)) await new Promise(setImmediate)
      offsets.push((await seen(bucket)).offset)
    }
    throw fatal('the process dies')
  }
  const dead = store.append(created, slow(), { onProgress: (offset) => told.push(offset), guard: () => {} })
  await assert.rejects(dead)
  assert.ok(offsets.length === 4 && offsets.every((offset, n) => offset > (offsets[n - 1] ?? 0)), offsets.join(' '))
  assert.ok(
    told.every((offset, n) => offset > (told[n - 1] ?? 0)),
    told.join(' '),
  )
})

test('checkpoint: a client too slow for a part has its bytes recorded as they are', async () => {
  const { bucket, store, recorded } = recording()
  const created = await store.create(newUpload('a', bytes.byteLength))
  async function* slow() {
    yield bytes.subarray(0, 100)
    await recorded()
    assert.equal((await seen(bucket)).offset, 100)
    yield bytes.subarray(100, part + 300)
    for (let upload = await seen(bucket); upload.offset < part + 300; upload = await seen(bucket)) {
      await new Promise(setImmediate)
    }
    // What crashes here goes on in another process with all of it.
    const copy = bucket.objects.get('a.info')
    assert.ok(isSame(copy?.bytes.subarray(-300), bytes.subarray(part, part + 300)))
    yield bytes.subarray(part + 300, 2 * part)
  }
  const after = await store.append(created, slow())
  assert.equal(after.offset, 2 * part)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('checkpoint: one that is under way when the body ends is waited for; the request is not told that it lost', async () => {
  for (const [end, when] of [
    [3 * part, 'before'],
    [3 * part + 50, 'before'],
    [3 * part + 50, 'after'],
    [bytes.byteLength, 'after'],
  ] as const) {
    let records = 0
    const [reached, resumed, ended] = [gate(), gate(), gate()]
    const { bucket, store } = setup(
      {
        async [when](call: string, key: string) {
          // The first one creates it.
          if (call !== 'put' || key !== 'a.info' || ++records !== 2) return
          reached.open()
          await resumed.opened
        },
      },
      { checkpointMs: 1 },
    )
    const created = await store.create(newUpload('a', bytes.byteLength))
    async function* source() {
      yield* body(bytes.subarray(0, end), part)
      await reached.opened
      ended.open()
    }
    const appending = store.append(created, source())
    await ended.opened
    await new Promise(setImmediate)
    resumed.open()
    assert.equal((await appending).offset, end)
    await finish(store, 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})

test('checkpoint: none begins while the last parts or the last record are under way', async () => {
  for (const held of ['putPart', 'put']) {
    for (const end of [3 * part + 50, bytes.byteLength]) {
      let armed = false
      let puts = 0
      const { bucket, store } = setup(
        {
          async before(call) {
            if (armed && call === 'put') puts++
            // Long enough for the clock of the checkpoints to strike.
            if (armed && call === held) await new Promise((resolve) => setTimeout(resolve, 10))
          },
        },
        { checkpointMs: 2, partConcurrency: held === 'put' ? 1 : 8 },
      )
      const created = await store.create(newUpload('a', bytes.byteLength))
      armed = true
      // One chunk: the body's end follows at once.
      const after = await store.append(created, body(bytes.subarray(0, end), end))
      armed = false
      assert.equal(after.offset, end)
      if (held === 'putPart') assert.equal(puts, end === bytes.byteLength ? 0 : 1)
      await finish(store, 'a', bytes)
      await assertWhole(bucket, 'a', bytes)
    }
  }
})

test('checkpoint: one that fails ends the request; what it may have written is gone on from', async () => {
  for (const when of ['before', 'after'] as const) {
    let armed = false
    const fault = (call: string, key: string) => {
      if (armed && call === 'put' && key === 'a.info') throw fatal()
    }
    const { bucket, store } = setup({ [when]: fault }, { checkpointMs: 1 })
    const created = await store.create(newUpload('a', bytes.byteLength))
    armed = true
    async function* endless() {
      yield* body(bytes.subarray(0, 3 * part))
      await new Promise(() => {})
    }
    await assert.rejects(store.append(created, endless()), code('unavailable'))
    armed = false
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})

test('checkpoint: a client that falls silent has all that it sent recorded at once, for whichever server it comes back to', async () => {
  const { bucket, store } = setup({}, { checkpointMs: 100 })
  const created = await store.create(newUpload('a', bytes.byteLength))
  const sent = 3 * part + 100
  const silent = gate()
  async function* source() {
    yield* body(bytes.subarray(0, sent), 10_000)
    await silent.opened
    throw fatal('the connection is gone')
  }
  const appending = store.append(created, source())
  const since = performance.now()
  while ((await seen(bucket)).offset < sent) await new Promise(setImmediate)
  assert.ok(performance.now() - since < 100, 'it took until a checkpoint')
  const elsewhere = another(bucket)
  await finish(elsewhere, 'a', bytes)
  silent.open()
  await assert.rejects(appending)
  await assertWhole(bucket, 'a', bytes)
})

test('checkpoint: a slow client that is silent between its chunks does not have its tail written each time', async () => {
  let records = 0
  const { bucket, store } = setup(
    {
      after(call, key) {
        if (call === 'put' && key === 'a.info') records++
      },
    },
    { checkpointMs: 10_000, partSize: 16 * part },
  )
  const created = await store.create(newUpload('a', bytes.byteLength))
  records = 0
  async function* slow() {
    for (let at = 0; at < 200_000; at += 1000) {
      yield bytes.subarray(at, at + 1000)
      mock.timers.tick(4000)
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
    }
  }
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    await store.append(created, slow())
  } finally {
    mock.timers.reset()
  }
  // 200 silences; growing by a quarter each time it is 26 and those of the checkpoints.
  assert.ok(records > 10 && records < 60, String(records))
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('checkpoint: recorded while its client was silent, undone as the body throws: what was acknowledged before is gone on from', async () => {
  const { bucket, store } = setup({}, { checkpointMs: 100 })
  await store.create(newUpload('a', null))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, 5000)))
  async function* tooLong() {
    yield bytes.subarray(5000, 15_000)
    while ((await seen(bucket)).offset < 15_000) await new Promise(setImmediate)
    yield bytes.subarray(15_000, 2 * part)
    while (bucket.open.size === 0) await new Promise(setImmediate)
    throw fatal('the limit is passed')
  }
  await assert.rejects(store.append(await get(store, 'a'), tooLong()), /the limit is passed/)
  const after = await seen(bucket)
  assert.equal(after.offset, 5000)
  assert.ok(after.multipartId === null || bucket.open.has(after.multipartId), 'the record names what was aborted')
  const elsewhere = another(bucket)
  const whole = await elsewhere.append(await get(elsewhere, 'a'), body(bytes.subarray(5000)))
  await elsewhere.update(whole, { length: bytes.byteLength, completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('checkpoint: checkpointMs beyond what timers know, at which they would fire at once: TypeError', () => {
  for (const checkpointMs of [0, 2 ** 31, Infinity]) {
    assert.throws(() => setup({}, { checkpointMs }), { name: 'TypeError', message: /from 1 to 2147483647/ })
  }
})
