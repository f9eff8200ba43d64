/** Uploads that are cut again and again, in sizes that no test could really send. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BucketLimits } from '../../src/objects/bucket.ts'
import { objectStore } from '../../src/objects/store.ts'
import { s3Limits, type SimulatedBucket, simulatedBucket } from './simulated-bucket.ts'
import { another, assertWhole, body, data, fatal, finish, get, kib, newUpload, part, random, setup } from './support.ts'

const mib = 1024 * kib
const gib = 1024 * mib

/*
 * Bytes without weight: arrays as large as parts are all one and the same, and are never copied, so that 50 GiB pass in
 * seconds. Only sizes are looked at where these are used; what is below a mebibyte (the text of records) is real.
 */
const real = Uint8Array
const typedArray = Object.getPrototypeOf(real.prototype) as Uint8Array
// oxlint-disable-next-line typescript/unbound-method -- they are called with the array they belong to
const { set, slice, fill } = typedArray
const shared = new ArrayBuffer(128 * mib)

async function weightless<T>(work: () => Promise<T>): Promise<T> {
  const isHeavy = ({ length }: ArrayLike<number>) => length >= mib
  typedArray.set = function (this: Uint8Array, source: ArrayLike<number>, offset?: number) {
    if (!isHeavy(source)) set.call(this, source, offset)
  }
  typedArray.slice = function (this: Uint8Array, start?: number, end?: number) {
    const view = this.subarray(start, end)
    return isHeavy(view) ? view : slice.call(this, start, end)
  } as typeof slice
  typedArray.fill = function (this: Uint8Array, value: number, start = 0, end?: number) {
    return fill.call(this, value, start, Math.min(end ?? this.length, start + 16))
  }
  globalThis.Uint8Array = new Proxy(real, {
    construct: (target, args: [number], newTarget) =>
      args[0] >= mib ? new target(shared, 0, args[0]) : (Reflect.construct(target, args, newTarget) as object),
  })
  try {
    return await work()
  } finally {
    Object.assign(typedArray, { set, slice, fill })
    globalThis.Uint8Array = real
  }
}

interface Plan {
  readonly length: number
  readonly deferred?: boolean
  readonly limits?: BucketLimits
  readonly partSize?: number
  /** Bytes of the next request. */
  readonly next: () => number
  /** Most requests that end early; then the rest follows. */
  readonly interruptions: number
}

/** One chunk again and again. */
const chunk = new Uint8Array(8 * mib)

async function* zeros(size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let left = size; left > 0; left -= chunk.byteLength)
    yield left < chunk.byteLength ? chunk.subarray(0, left) : chunk
}

async function interrupted(plan: Plan): Promise<{ bucket: SimulatedBucket; cut: number }> {
  const { length, deferred = false, limits = s3Limits, partSize = 8 * mib, next, interruptions } = plan
  const bucket = simulatedBucket({ sizesOnly: true, limits })
  const store = objectStore(bucket, { partSize, leftoverAgeMs: 0, checkpointMs: 600_000 })
  let upload = await store.create(newUpload('a', deferred ? null : length))
  let cut = 0
  while (upload.offset < length) {
    const size = Math.min(cut < interruptions ? next() : length, length - upload.offset)
    const at: number = upload.offset + size
    upload = await store.append(upload, zeros(size))
    assert.equal(upload.offset, at)
    if (at < length) cut++
  }
  await store.update(upload, { ...(deferred && { length }), completed: true })
  assert.equal(bucket.objects.get('a')?.size, length)
  assert.equal(bucket.open.size, 0)
  return { bucket, cut }
}

test('50 GiB with 10,000 interruptions complete', async () => {
  const next = random(1)
  // All in all a little less than the upload. Parts four times as large as usual make the records short, and the test.
  const bodies = () => (next() < 0.7 ? 1 + Math.floor(next() * 64 * kib) : Math.floor(next() * 32 * mib))
  const plan = { length: 50 * gib, partSize: 32 * mib, next: bodies, interruptions: 10_000 }
  const { cut } = await weightless(() => interrupted(plan))
  assert.equal(cut, 10_000)
})

const tenth: BucketLimits = { ...s3Limits, maxParts: 1000 }
const patterns: Record<string, (n: () => number) => number> = {
  'always the smallest part': () => 5 * mib,
  'a byte more than the smallest part': () => 5 * mib + 1,
  'a byte less than a part': () => 8 * mib - 1,
  'any size': (n) => 1 + Math.floor(n() * 10 * mib),
  'mostly tiny': (n) => 1 + Math.floor(n() ** 8 * 40 * mib),
}

for (const [title, of] of Object.entries(patterns)) {
  test(`a tenth of the parts, a tenth of the bytes, up to 1,000 cuts: ${title}; completes`, async () => {
    for (const seed of [1, 2]) {
      const next = random(seed)
      const plan = { next: () => of(next), interruptions: 1000, limits: tenth }
      await weightless(async () => {
        await interrupted({ ...plan, length: 5 * gib })
        // With hardly a number to spare.
        await interrupted({ ...plan, length: 1000 * 8 * mib - 3 })
        await interrupted({ ...plan, length: 5 * gib, deferred: true })
        await interrupted({ ...plan, length: 5 * gib, limits: { ...tenth, uniformParts: true } })
        await interrupted({ ...plan, length: 5 * gib, limits: { ...tenth, uniformParts: true }, deferred: true })
      })
    }
  })
}

test('without a length and with all numbers used up: full, said so; what is stored stays', async () => {
  const limits = { ...s3Limits, maxParts: 3, maxPartBytes: 8 * mib }
  await weightless(async () => {
    const bucket = simulatedBucket({ sizesOnly: true, limits })
    const store = objectStore(bucket, { checkpointMs: 600_000 })
    const created = await store.create(newUpload('a', null))
    await assert.rejects(store.append(created, zeros(25 * mib)), /as many as simulated allows/)
    assert.equal((await get(store, 'a')).offset, 24 * mib)
  })
})

test('random cuts, faults and crashes; the offset never goes back, every object is identical', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const next = random(seed)
    let rate = 0
    const fault = () => {
      if (next() < rate) throw Object.assign(fatal(), { transient: next() < 0.7 })
    }
    const limits = next() < 0.3 ? { uniformParts: true } : {}
    const options = { partConcurrency: 1 + Math.floor(next() * 4), retry: { delayMs: 1, attempts: 3 } }
    const { bucket } = setup({ limits, before: fault, after: fault })
    const source = data(Math.floor(next() * 8 * part), seed)
    const deferred = next() < 0.3
    await another(bucket, options).create(newUpload('a', deferred ? null : source.byteLength))
    let offset = 0
    for (let n = 0; n < 30; n++) {
      rate = 0
      const store = another(bucket, options)
      const upload = await get(store, 'a')
      assert.ok(upload.offset >= offset, `seed ${seed}: ${upload.offset} after ${offset}`)
      offset = upload.offset
      if (upload.completed) break
      rate = 0.06
      const size = Math.floor(next() ** 2 * 4 * part)
      const chunks = body(source.subarray(offset, offset + size), 1 + Math.floor(next() * 100_000))
      try {
        const after = await store.append(upload, chunks, { atomic: next() < 0.3 })
        offset = after.offset === source.byteLength ? offset : after.offset
        const length = deferred ? { length: source.byteLength } : {}
        if (after.offset === source.byteLength) await store.update(after, { ...length, completed: true })
      } catch (error) {
        assert.match(String(error), /fatal|changed by another|completed before/, `seed ${seed}`)
      }
    }
    rate = 0
    await finish(another(bucket), 'a', source)
    await assertWhole(bucket, 'a', source)
  }
})
