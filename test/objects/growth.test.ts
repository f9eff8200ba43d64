/** Parts of a long request from a fast client are larger, while nobody else needs the memory. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
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

function begin(simulated: SimulatedOptions = {}) {
  const { bucket, store } = setup(simulated)
  return { bucket, store, create: () => store.create(newUpload('a', bytes.byteLength)) }
}

test('a long PATCH alone: parts of twice the size after the first ones, about half as many requests', async () => {
  const { bucket, store, create } = begin()
  await store.append(await create(), body(bytes.subarray(0, 39 * part)))
  const sizes = await partsOf(another(bucket))
  assert.deepEqual(sizes.slice(0, 6), [part, part, part, part, 2 * part, 2 * part])
  assert.ok(sizes.length < 24, `sizes: ${sizes.join()}`)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
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

test('a client that needs long for a part: they stay as they are, so that a crash costs little', async () => {
  const { bucket, store, create } = begin()
  let now = 1_700_000_000_000
  mock.method(Date, 'now', () => now)
  async function* slow() {
    for (let n = 0; n < 20; n++) {
      yield bytes.subarray(n * part, n * part + 100)
      now += 600
      yield bytes.subarray(n * part + 100, (n + 1) * part)
    }
  }
  try {
    await store.append(await create(), slow())
  } finally {
    mock.restoreAll()
  }
  assert.deepEqual(new Set(await partsOf(another(bucket))), new Set([part]))
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
