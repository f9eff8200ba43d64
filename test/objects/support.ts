import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { StoreError, type StoreErrorCode } from '../../src/errors.ts'
import type { ObjectUpload } from '../../src/objects/record.ts'
import { objectStore, type ObjectStoreOptions } from '../../src/objects/store.ts'
import type { NewUpload, Store } from '../../src/store.ts'
import { planned } from '../support/planned.ts'
import { type SimulatedBucket, simulatedBucket, type SimulatedOptions } from './simulated-bucket.ts'

export const kib = 1024

/** Everything about 80 times smaller than on S3. */
export const smallLimits = { minPartBytes: 16 * kib, maxPartBytes: 1024 * kib, maxCopyBytes: 256 * kib }
/** As on R2. */
export const uniformLimits = { ...smallLimits, uniformParts: true }

export const part = 64 * kib

export const small: ObjectStoreOptions = {
  partSize: part,
  checkpointMs: 600_000,
  leftoverAgeMs: 0,
  retry: { delayMs: 1 },
}

export type ObjectStore = Required<Store<ObjectUpload>>

export function setup(
  simulated: SimulatedOptions = {},
  options: ObjectStoreOptions = {},
): { bucket: SimulatedBucket; store: ObjectStore } {
  const bucket = simulatedBucket({ ...simulated, limits: { ...smallLimits, ...simulated.limits } })
  return { bucket, store: objectStore(bucket, { ...small, ...options }) }
}

/** A bucket in which the first call that `matches` waits, and what makes it go on. */
export function paused(
  matches: (call: string, key: string, partNumber: number) => boolean,
  options: ObjectStoreOptions = {},
  more: Omit<SimulatedOptions, 'before'> = {},
) {
  const reached = gate()
  const resumed = gate()
  let hit = false
  const simulated: SimulatedOptions = {
    ...more,
    async before(call, key, partNumber) {
      if (hit || !matches(call, key, partNumber)) return
      hit = true
      reached.open()
      await resumed.opened
    },
  }
  return { ...setup(simulated, options), reached: reached.opened, resume: resumed.open }
}

/** A second process on the same bucket. */
export function another(bucket: SimulatedBucket, options: ObjectStoreOptions = {}): ObjectStore {
  return objectStore(bucket, { ...small, ...options })
}

export function newUpload(id: string, length: number | null, more: Partial<NewUpload> = {}): NewUpload {
  return planned(id, { length, ...more })
}

/** Bytes that differ at every place, and between seeds. */
export function data(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4))
  let state = (seed * 2_654_435_761) >>> 0 || 1
  for (let n = 0; n < words.length; n++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[n] = state
  }
  return new Uint8Array(words.buffer, 0, size)
}

/** Numbers from 0 up to but not including 1, the same ones for a seed. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export async function* body(bytes: Uint8Array, chunkSize = 10_000): AsyncGenerator<Uint8Array, void, undefined> {
  for (let n = 0; n < bytes.byteLength; n += chunkSize) yield bytes.subarray(n, n + chunkSize)
}

/** A body that throws at its end. */
export async function* failing(bytes: Uint8Array, error: Error): AsyncGenerator<Uint8Array, void, undefined> {
  yield* body(bytes)
  throw error
}

export const fatal = (what = 'fatal'): StoreError => new StoreError('unavailable', what)
export const passing = (): StoreError => new StoreError('unavailable', 'in passing', { transient: true })

export async function get(store: ObjectStore, id: string): Promise<ObjectUpload> {
  const upload = await store.get(id, 'append')
  assert.ok(upload !== null, `${id} is unknown`)
  return upload
}

/** Goes on from what the record says until the upload is complete, as a client does. */
export async function finish(store: ObjectStore, id: string, bytes: Uint8Array): Promise<ObjectUpload> {
  for (let attempt = 1; ; attempt++) {
    try {
      const upload = await get(store, id)
      if (upload.completed) return upload
      const whole =
        upload.offset === bytes.byteLength ? upload : await store.append(upload, body(bytes.subarray(upload.offset)))
      const length = upload.length === null ? { length: bytes.byteLength } : {}
      return await store.update(whole, { ...length, completed: true })
    } catch (error) {
      // The client asks for the offset again.
      if (attempt === 3 || !(error instanceof StoreError && error.code === 'lock_lost')) throw error
    }
  }
}

export async function upload(store: ObjectStore, id: string, bytes: Uint8Array, more: Partial<NewUpload> = {}) {
  await store.create(newUpload(id, bytes.byteLength, more))
  return finish(store, id, bytes)
}

export async function clearLeftovers(store: ObjectStore): Promise<number> {
  let removed = 0
  for await (const leftover of store.leftovers()) if (await leftover.remove()) removed++
  return removed
}

/** The object is the upload, its record says so, and nothing else is left. */
export async function assertWhole(bucket: SimulatedBucket, id: string, bytes: Uint8Array): Promise<void> {
  const store = another(bucket)
  const record = await get(store, id)
  assert.deepEqual([record.offset, record.length, record.completed], [bytes.byteLength, bytes.byteLength, true])
  assert.ok(isSame(bucket.objects.get(id)?.bytes, bytes), `${id} has other bytes`)
  await clearLeftovers(store)
  assert.equal(bucket.open.size, 0, 'multiparts are left')
}

export function isSame(actual: Uint8Array | undefined, expected: Uint8Array): boolean {
  return actual !== undefined && Buffer.compare(actual, expected) === 0
}

/** Matches a StoreError with this code. */
export function code(expected: StoreErrorCode): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof StoreError, String(error))
    assert.equal(error.code, expected, error.message)
    return true
  }
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

export interface Gate {
  readonly opened: Promise<void>
  readonly open: () => void
}

export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** A body whose chunks come when the test says so. */
export interface Feed extends AsyncIterable<Uint8Array> {
  /** Hands a chunk over; resolves when the next one is asked for: this one has been taken in. */
  readonly push: (chunk: Uint8Array) => Promise<void>
  readonly end: () => void
  readonly fail: (error: Error) => void
}

export function feed(): Feed {
  type Result = IteratorResult<Uint8Array>
  let pending: { resolve: (result: Result) => void; reject: (error: Error) => void } | null = null
  let asked = gate()
  const give = async (settle: (to: NonNullable<typeof pending>) => void) => {
    await asked.opened
    asked = gate()
    const to = pending
    pending = null
    if (to !== null) settle(to)
  }
  return {
    async push(value) {
      await give(({ resolve }) => resolve({ done: false, value }))
      await asked.opened
    },
    end: () => void give(({ resolve }) => resolve({ done: true, value: undefined })),
    fail: (error) => void give(({ reject }) => reject(error)),
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise<Result>((resolve, reject) => {
          pending = { resolve, reject }
          asked.open()
        }),
      return: () => Promise.resolve({ done: true, value: undefined }),
    }),
  }
}

/** Collects garbage until this holds. */
export async function collected(holds: () => boolean): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let n = 0; n < 20 && !holds(); n++) {
    await new Promise(setImmediate)
    collect()
  }
  assert.ok(holds(), 'something still holds it')
}
