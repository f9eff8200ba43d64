/** Parts that are on their way to the storage while they are filled, where the driver can send such. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { BufferMemory } from '../../src/objects/observer.ts'
import { objectStore, type ObjectStoreOptions } from '../../src/objects/store.ts'
import type { AppendOptions } from '../../src/store.ts'
import type { SimulatedBucket, SimulatedOptions } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  body,
  data,
  failing,
  fatal,
  feed,
  finish,
  gate,
  get,
  isSame,
  newUpload,
  type ObjectStore,
  part,
  passing,
  random,
  setup,
  small,
  uniformLimits,
} from './support.ts'

const bytes = data(40 * part + 100)
/** As much as is in memory of an upload that is alone, and of one part of it. */
const [memory, largest] = [10 * part, 7 * part]

const streams = { streams: () => {} }
const whole: AppendOptions = { bounded: true, contentLength: bytes.byteLength }

function begin(simulated: SimulatedOptions = streams, options: ObjectStoreOptions = {}) {
  const { bucket, store } = setup(simulated, options)
  return { bucket, store, create: () => store.create(newUpload('a', bytes.byteLength)) }
}

async function partsOf(bucket: SimulatedBucket): Promise<{ size: number; number: number }[]> {
  return ((await get(another(bucket), 'a')).rest?.parts ?? []).map(({ size, number }) => ({ size, number }))
}

async function sizesOf(bucket: SimulatedBucket): Promise<number[]> {
  return (await partsOf(bucket)).map(({ size }) => size)
}

/** Sizes of all parts that were tried. */
function sent(bucket: SimulatedBucket): number[] {
  return [...bucket.open.values()].flatMap(({ parts }) => [...parts.values()].map(({ size }) => size))
}

async function completed(bucket: SimulatedBucket, store: ObjectStore): Promise<void> {
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
}

test('a long PATCH alone: parts of two thirds of its memory from the first on, each begun before it is whole', async () => {
  let used: BufferMemory | null = null
  let most = 0
  const begun = new Map<number, number>()
  let given = 0
  const { bucket, store, create } = begin(
    {
      async streams(number) {
        if (!begun.has(number)) begun.set(number, given)
        most = Math.max(most, used?.used ?? 0)
        // The client is faster than the storage.
        for (let n = 0; n < 5; n++) await new Promise(setImmediate)
      },
    },
    { observer: { onBuffers: (memoryNow) => (used = memoryNow) } },
  )
  async function* counted() {
    for await (const chunk of body(bytes)) {
      given += chunk.byteLength
      yield chunk
    }
  }
  const upload = await store.append(await create(), counted(), whole)
  assert.deepEqual(sent(bucket), [...Array(5).fill(largest), 5 * part + 100])
  for (const [number, at] of begun) assert.ok(at < number * largest, `part ${number} began at ${at}`)
  assert.ok(most <= memory && most > largest, `${most / part} parts in memory`)
  await store.update(upload, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('where parts must be equal, where it is not known what comes, or from a slow client: parts stay as they are', async () => {
  const cases: { simulated: SimulatedOptions; options: AppendOptions; ms: number }[] = [
    { simulated: { ...streams, limits: uniformLimits }, options: whole, ms: 0 },
    { simulated: {}, options: whole, ms: 0 },
    // Half a second for each tenth of a part.
    { simulated: streams, options: whole, ms: 500 },
  ]
  for (const { simulated, options, ms } of cases) {
    const { bucket, store, create } = begin(simulated)
    let now = 1_700_000_000_000
    mock.method(Date, 'now', () => now)
    async function* slow() {
      for await (const chunk of body(bytes.subarray(0, 3 * part), part / 8)) {
        now += ms
        yield chunk
      }
    }
    try {
      await store.append(await create(), slow(), options)
    } finally {
      mock.restoreAll()
    }
    assert.deepEqual(await sizesOf(bucket), [part, part, part])
  }
})

test('a body shorter than a part on its way would be: what is certain to come is the part', async () => {
  const { bucket, store, create } = begin()
  await store.append(await create(), body(bytes.subarray(0, 3 * part + 500)), {
    ...whole,
    contentLength: 3 * part + 500,
  })
  assert.deepEqual(await partsOf(bucket), [{ size: 3 * part + 500, number: 1 }])
  await completed(bucket, store)
})

test('cut at any byte of a part on its way: every byte is kept, and its number is not lost', async () => {
  const near = [part, 2 * part, largest, 2 * largest, largest + part].flatMap((at) => [at - 1, at, at + 1])
  for (const end of [...near, part + 100, 3 * part + 20_000, largest + 100]) {
    const { bucket, store, create } = begin()
    const { offset } = await store.append(await create(), body(bytes.subarray(0, end)), whole)
    assert.equal(offset, end)
    const recorded = await get(another(bucket), 'a')
    assert.equal(recorded.offset, end)
    assert.deepEqual(
      (await partsOf(bucket)).map(({ number }) => number),
      (recorded.rest?.parts ?? []).map((_, n) => n + 1),
    )
    await completed(bucket, another(bucket))
  }
})

test('a part on its way that is given up: no failure of the storage, and nothing to be tried again', async () => {
  const calls: string[] = []
  const { bucket } = begin()
  const store = objectStore(
    {
      ...bucket,
      async streamPart(...args) {
        const given = await bucket.streamPart?.(...args).catch(() => undefined)
        // As a driver says it that cannot tell why.
        if (given === undefined) throw passing()
        return given
      },
    },
    {
      ...small,
      observer: {
        onCall: (call) => (error) => void calls.push(`${call} ${error === undefined ? 'ok' : 'failed'}`),
        onRetry: (call) => void calls.push(`${call} again`),
      },
    },
  )
  const upload = await store.create(newUpload('a', bytes.byteLength))
  calls.length = 0
  await store.append(upload, body(bytes.subarray(0, 3 * part + 100)), whole)
  assert.deepEqual(calls, ['createMultipart ok', 'putPart ok', 'putPart ok', 'put ok'])
})

test('cut again and again in the middle of parts on their way: numbers for the rest are left to the end', async () => {
  const length = 900 * part
  const { store } = setup({ ...streams, sizesOnly: true, limits: { maxParts: 1100 } })
  await store.create(newUpload('a', length))
  const next = random(1)
  const source = data(3 * part)
  let cuts = 0
  for (let upload = await get(store, 'a'); upload.offset < length; cuts++) {
    const sent = Math.min(part + Math.floor(next() * part), length - upload.offset)
    const contentLength = length - upload.offset
    const { offset } = await store.append(upload, body(source.subarray(0, sent)), { bounded: true, contentLength })
    assert.equal(offset, upload.offset + sent)
    if (offset === length) break
    upload = await get(store, 'a')
  }
  assert.ok(cuts > 500)
})

test('the storage fails in passing in the middle of a part on its way: it is sent again from its first byte', async () => {
  let failures = 0
  const { bucket, store, create } = begin({
    streams(_number, filled) {
      if (failures < 3 && filled > (failures + 1) * part) {
        failures++
        throw passing()
      }
    },
  })
  const upload = await store.append(await create(), body(bytes), whole)
  assert.equal(failures, 3)
  await store.update(upload, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('the storage stands still in the middle of a part on its way: given up after its time, and sent again', async () => {
  let stalls = 0
  const { bucket, store, create } = begin(
    { streams: (_number, filled) => (filled > part && stalls++ === 0 ? new Promise(() => {}) : undefined) },
    { retry: { delayMs: 1, timeoutMs: 20 } },
  )
  // As many bytes take eight seconds by the slowest rate that is allowed.
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const appending = store.append(await create(), body(bytes), whole)
    let done = false
    appending.then(
      () => (done = true),
      () => (done = true),
    )
    while (!done) {
      mock.timers.tick(200)
      await new Promise(setImmediate)
    }
    await store.update(await appending, { completed: true })
  } finally {
    mock.timers.reset()
  }
  assert.ok(stalls > 0)
  await assertWhole(bucket, 'a', bytes)
})

test('the storage fails for good in the middle of a part on its way: what is stored before it is kept', async () => {
  let fails = true
  const { bucket, store, create } = begin({
    streams(number) {
      if (number === 2 && fails) throw fatal()
    },
  })
  const source = feed()
  const appending = store.append(await create(), source, whole)
  appending.catch(() => {})
  await source.push(bytes.subarray(0, largest))
  void source.push(bytes.subarray(largest, largest + 2 * part))
  // While the client is waited for.
  await assert.rejects(appending, { message: 'fatal' })
  assert.equal((await get(another(bucket), 'a')).offset, largest)
  fails = false
  await completed(bucket, another(bucket))
})

test('a client falls silent in the middle of a part on its way: it is given up, what came is stored and recorded', async () => {
  const { bucket, store, create } = begin(streams, { checkpointMs: 50 })
  const source = feed()
  const appending = store.append(await create(), source, whole)
  await source.push(bytes.subarray(0, 3 * part + 100))
  const seen = () => get(another(bucket), 'a')
  for (let upload = await seen(); upload.offset < 3 * part + 100; upload = await seen()) {
    await new Promise(setImmediate)
  }
  assert.deepEqual(await partsOf(bucket), [{ size: 3 * part + 100, number: 1 }])
  await source.push(bytes.subarray(3 * part + 100))
  source.end()
  await store.update(await appending, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('a client falls silent with a checksum: the part on its way is given up, nothing is recorded before the end', async () => {
  let beginnings = 0
  const { bucket, store, create } = begin(
    { streams: (number, filled) => void (number === 1 && filled === part && beginnings++) },
    { checkpointMs: 20 },
  )
  const source = feed()
  const appending = store.append(await create(), source, { ...whole, atomic: true })
  await source.push(bytes.subarray(0, 3 * part + 100))
  for (const since = Date.now(); Date.now() - since < 60;) await new Promise(setImmediate)
  assert.equal((await get(another(bucket), 'a')).offset, 0)
  await source.push(bytes.subarray(3 * part + 100))
  source.end()
  await store.update(await appending, { completed: true })
  assert.equal(beginnings, 2)
  await assertWhole(bucket, 'a', bytes)
})

for (const at of [part + 100, largest - 1, largest + 2 * part]) {
  test(`a checksummed body that does not verify after ${at} bytes: as if it had never been`, async () => {
    const { bucket, store, create } = begin()
    const upload = await create()
    const before = await get(store, 'a')
    const wrong = store.append(upload, failing(bytes.subarray(0, at), new Error('mismatch')), {
      ...whole,
      atomic: true,
    })
    await assert.rejects(wrong, { message: 'mismatch' })
    const after = await get(another(bucket), 'a')
    assert.deepEqual([after.offset, after.rest?.parts], [before.offset, before.rest?.parts])
    assert.equal(bucket.open.size, 0)
    await completed(bucket, store)
  })
}

test('somebody else comes while a part is on its way: it ends with the memory that it has, and those that follow are usual', async () => {
  const { bucket, store, create } = begin()
  await store.create(newUpload('b', bytes.byteLength))
  const source = feed()
  const appending = store.append(await create(), source, whole)
  await source.push(bytes.subarray(0, 2 * part + 100))
  const other = feed()
  const holding = store.append(await get(store, 'b'), other, whole)
  await other.push(bytes.subarray(0, 100))
  await source.push(bytes.subarray(2 * part + 100, 6 * part))
  source.end()
  assert.equal((await appending).offset, 6 * part)
  assert.deepEqual(await sizesOf(bucket), [3 * part, part, part, part])
  other.end()
  await holding
  await completed(bucket, store)
})

test('200 others come while a part is on its way: memory stays within the budget, each upload is identical', async () => {
  let used: BufferMemory | null = null
  let most = 0
  const { bucket, store, create } = begin(
    {
      streams: () => new Promise(setImmediate),
      before() {
        most = Math.max(most, used?.used ?? 0)
      },
    },
    { bufferBudget: 20 * part, observer: { onBuffers: (given) => (used = given) } },
  )
  const source = feed()
  const appending = store.append(await create(), source, whole)
  await source.push(bytes.subarray(0, 2 * part + 100))
  const size = 2 * part + 500
  const others = Array.from({ length: 200 }, async (_, n) => {
    const upload = await store.create(newUpload(`o${n}`, size))
    const options = { bounded: true, contentLength: size }
    const after = await store.append(upload, body(bytes.subarray(n, n + size)), options)
    await store.update(after, { completed: true })
    assert.ok(isSame(bucket.objects.get(`o${n}`)?.bytes, bytes.subarray(n, n + size)), `o${n} has other bytes`)
  })
  await source.push(bytes.subarray(2 * part + 100, 20 * part))
  await Promise.all(others)
  await source.push(bytes.subarray(20 * part))
  source.end()
  await store.update(await appending, { completed: true })
  await assertWhole(bucket, 'a', bytes)
  assert.ok(most > 2 * part && most <= 16 * part, `${most / part} parts in memory`)
})

test('a request that must give way in the middle of a part on its way: what came is kept, nothing more is waited for', async () => {
  const { bucket, store, create } = begin()
  const source = feed()
  let isStopped = false
  const appending = store.append(await create(), source, { ...whole, isStopped: () => isStopped })
  await source.push(bytes.subarray(0, largest + 2 * part + 5))
  isStopped = true
  source.end()
  assert.equal((await appending).offset, largest + 2 * part + 5)
  await completed(bucket, another(bucket))
})

test('the next part waits for memory that the one before has: it goes on when that one is stored', async () => {
  const stored = gate()
  let most = 0
  let used: BufferMemory | null = null
  const { bucket, store, create } = begin(
    {
      async streams(number, filled) {
        most = Math.max(most, used?.used ?? 0)
        if (number === 1 && filled === largest) await stored.opened
      },
    },
    { observer: { onBuffers: (given) => (used = given) } },
  )
  let given = 0
  async function* counted() {
    for await (const chunk of body(bytes)) {
      given += chunk.byteLength
      if (given > memory) stored.open()
      yield chunk
      if (given > memory - part) stored.open()
    }
  }
  const upload = await store.append(await create(), counted(), whole)
  assert.equal(most, memory)
  await store.update(upload, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})
