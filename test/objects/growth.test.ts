/** Parts of a long request from a fast client are larger, while nobody else needs the memory. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { BufferMemory } from '../../src/objects/observer.ts'
import type { ObjectStoreOptions } from '../../src/objects/store.ts'
import type { SimulatedOptions } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  body,
  data,
  feed,
  finish,
  get,
  newUpload,
  part,
  setup,
  uniformLimits,
} from './support.ts'

const bytes = data(40 * part + 100)

/** Sizes of the parts of the only multipart, in their order. */
async function partsOf(store: ReturnType<typeof another>): Promise<number[]> {
  return ((await get(store, 'a')).rest?.parts ?? []).map(({ size }) => size)
}

function begin(simulated: SimulatedOptions = {}, options: ObjectStoreOptions = {}) {
  const { bucket, store } = setup(simulated, options)
  return { bucket, store, create: () => store.create(newUpload('a', bytes.byteLength)) }
}

test('a long PATCH alone: parts of up to a third of its memory after the first ones, far fewer requests in as much memory', async () => {
  for (const [partConcurrency, largest, memory] of [
    [4, 3, 10],
    // None is filled while another one is on its way.
    [1, 4, 4],
  ] as const) {
    let used: BufferMemory | null = null
    let most = 0
    const { bucket, store, create } = begin(
      {
        async before(call) {
          most = Math.max(most, used?.used ?? 0)
          // The client is faster than the storage.
          for (let n = 0; n < 20 && call === 'putPart'; n++) await new Promise(setImmediate)
        },
      },
      { partConcurrency, observer: { onBuffers: (given) => (used = given) } },
    )
    await store.append(await create(), body(bytes.subarray(0, 39 * part)))
    const sizes = await partsOf(another(bucket))
    const growing = [...Array(largest).fill(1), largest, largest].map((parts) => parts * part)
    assert.deepEqual(sizes.slice(0, growing.length), growing)
    assert.equal(sizes.length, largest + Math.ceil((39 - largest) / largest), `sizes: ${sizes.join()}`)
    assert.ok(most <= memory * part && most > (memory * part) / 2, `${most / part} parts in memory`)
    await finish(store, 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})

test('while somebody else fills a part, or where parts must be equal: they stay as they are', async () => {
  const { bucket, store, create } = begin()
  await store.create(newUpload('b', bytes.byteLength))
  const other = feed()
  const appending = store.append(await get(store, 'b'), other)
  await other.push(bytes.subarray(0, 100))
  await store.append(await create(), body(bytes.subarray(0, 20 * part)))
  assert.deepEqual(new Set(await partsOf(another(bucket))), new Set([part]))
  other.end()
  await appending

  const uniform = begin({ limits: uniformLimits })
  await uniform.store.append(await uniform.create(), body(bytes.subarray(0, 20 * part)))
  assert.deepEqual(new Set(await partsOf(another(uniform.bucket))), new Set([part]))
})

for (const [ms, parts] of [
  [600, 1],
  [400, 2],
] as const) {
  test(`a client that needs ${ms} ms for a part: what comes in a second is one, so that a crash costs little`, async () => {
    const { bucket, store, create } = begin()
    let now = 1_700_000_000_000
    mock.method(Date, 'now', () => now)
    async function* slow() {
      for (let n = 0; n < 21; n++) {
        yield bytes.subarray(n * part, n * part + 100)
        now += ms
        yield bytes.subarray(n * part + 100, (n + 1) * part)
      }
    }
    try {
      await store.append(await create(), slow())
    } finally {
      mock.restoreAll()
    }
    const sizes = await partsOf(another(bucket))
    assert.deepEqual(sizes.slice(0, 3), Array(3).fill(part))
    assert.deepEqual(new Set(sizes.slice(3, -1)), new Set([parts * part]))
  })
}

test('a fast client falls silent with more than a usual part: stored as one, and recorded without a tail', async () => {
  const { bucket, store, create } = begin({}, { checkpointMs: 50 })
  const fast = feed()
  const appending = store.append(await create(), fast)
  await fast.push(bytes.subarray(0, 3 * part))
  await fast.push(bytes.subarray(3 * part, 5 * part + 100))
  const seen = () => get(another(bucket), 'a')
  for (let upload = await seen(); upload.offset < 5 * part + 100; upload = await seen()) {
    await new Promise(setImmediate)
  }
  assert.equal((await seen()).tailBytes, 0)
  assert.deepEqual(await partsOf(another(bucket)), [part, part, part, 2 * part + 100])
  await fast.push(bytes.subarray(5 * part + 100))
  fast.end()
  await store.update(await appending, { completed: true })
  await assertWhole(bucket, 'a', bytes)
})

test('a long PATCH that is cut anywhere keeps every byte', async () => {
  for (const end of [7 * part, 7 * part + 1, 8 * part - 1, 9 * part + 20_000, 12 * part + 17_000]) {
    const { bucket, store, create } = begin()
    const { offset } = await store.append(await create(), body(bytes.subarray(0, end)))
    assert.equal(offset, end)
    assert.equal((await get(another(bucket), 'a')).offset, end)
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})
