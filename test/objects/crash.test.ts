/** A process that ends at every call it makes to the storage, before the call takes effect or before its answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ObjectStoreOptions } from '../../src/objects/store.ts'
import {
  assertWhole,
  another,
  body,
  clearLeftovers,
  data,
  fatal,
  finish,
  get,
  newUpload,
  kib,
  type ObjectStore,
  part,
  setup,
  uniformLimits,
} from './support.ts'
import type { SimulatedOptions } from './simulated-bucket.ts'

const bytes = data(5 * part + 3000)

interface Scenario {
  readonly title: string
  readonly length: number
  readonly deferred?: boolean
  /** Ends of the requests that are over before the one that is struck. */
  readonly before?: readonly number[]
  /** Where the request that is struck ends. */
  readonly end: number
  readonly atomic?: boolean
  readonly options?: ObjectStoreOptions
  readonly limits?: SimulatedOptions['limits']
}

const scenarios: Scenario[] = [
  { title: 'an upload in one request', length: bytes.byteLength, end: bytes.byteLength },
  { title: 'a request in the middle', length: bytes.byteLength, end: 3 * part + 100 },
  { title: 'a request after a tail', length: bytes.byteLength, before: [700], end: 3 * part + 20 * kib },
  { title: 'the last request, after a tail', length: bytes.byteLength, before: [part + 9], end: bytes.byteLength },
  { title: 'a request that grows a tail', length: bytes.byteLength, before: [part + 9], end: part + 99 },
  { title: 'a small upload', length: 1000, end: 1000 },
  { title: 'a small upload, after a tail', length: 1000, before: [10], end: 1000 },
  { title: 'an empty upload', length: 0, end: 0 },
  { title: 'deferred length', length: 3 * part + 5, deferred: true, before: [100], end: 3 * part + 5 },
  { title: 'deferred length, small', length: 500, deferred: true, before: [100], end: 500 },
  { title: 'a checksum', length: bytes.byteLength, before: [300], end: 3 * part + 7, atomic: true },
  { title: 'a checksum, first request', length: bytes.byteLength, end: 3 * part + 7, atomic: true },
  { title: 'a checksum, all', length: bytes.byteLength, end: bytes.byteLength, atomic: true },
  { title: 'equal parts', length: bytes.byteLength, before: [20 * kib], end: 3 * part + 9, limits: uniformLimits },
  { title: 'equal parts, the last', length: bytes.byteLength, before: [3 * part + 9], end: 0, limits: uniformLimits },
  { title: 'one part at a time', length: 3 * part, end: 2 * part + 100, options: { partConcurrency: 1 } },
].map((scenario) => ({ ...scenario, end: scenario.end === 0 ? scenario.length : scenario.end }))

for (const scenario of scenarios) {
  for (const mode of ['one call fails', 'the process dies'] as const) {
    for (const when of ['before', 'after'] as const) {
      test(`${scenario.title}: ${mode} ${when} its effect, at every call; nothing is lost`, async () => {
        const calls = await strike(scenario, Infinity, when, mode)
        for (let n = 1; n <= calls; n++) await strike(scenario, n, when, mode)
        assert.ok(calls >= 1)
      })
    }
  }
}

/** Strikes at the nth call, goes on from there, and tells how many calls were made. */
async function strike(
  { length, deferred = false, before = [], end, atomic = false, options, limits }: Scenario,
  at: number,
  when: 'before' | 'after',
  mode: 'one call fails' | 'the process dies',
): Promise<number> {
  let calls = 0
  let alive = true
  let armed = false
  const { bucket, store } = setup(
    {
      ...(limits && { limits }),
      before() {
        if (!armed) return
        calls++
        if (!alive || (calls === at && when === 'before')) throw dying()
      },
      after() {
        if (armed && calls === at && when === 'after') throw dying()
      },
    },
    options,
  )
  const dying = () => {
    if (mode === 'the process dies') alive = false
    return fatal(`call ${at}`)
  }
  const source = bytes.subarray(0, length)
  await store.create(newUpload('a', deferred ? null : length))
  for (const until of before) {
    const upload = await get(store, 'a')
    await store.append(upload, body(source.subarray(upload.offset, until)))
  }
  let told = (await get(store, 'a')).offset

  armed = true
  const onProgress = (offset: number) => {
    if (end < length) told = offset
  }
  try {
    told = await request(store, source, { end, atomic, deferred, onProgress })
  } catch (error) {
    assert.match(String(error), /call \d+/, `call ${at}`)
  }
  armed = false
  if (at === Infinity) await goOn(store, source, told, deferred)
  else {
    // The next process: perhaps a sweep comes first.
    const next = another(bucket, options)
    await clearLeftovers(next)
    await goOn(next, source, told, deferred)
  }
  await assertWhole(bucket, 'a', source)
  return calls

  async function goOn(next: ObjectStore, whole: Uint8Array, least: number, isDeferred: boolean) {
    const found = await get(next, 'a')
    assert.ok(found.offset >= least, `call ${at}: told ${least}, now ${found.offset}`)
    assert.equal(found.length, isDeferred && !found.stored ? found.length : length)
    await finish(next, 'a', whole)
  }
}

async function request(
  store: ObjectStore,
  source: Uint8Array,
  how: { end: number; atomic: boolean; deferred: boolean; onProgress: (offset: number) => void },
): Promise<number> {
  const upload = await get(store, 'a')
  const after = await store.append(upload, body(source.subarray(upload.offset, how.end)), how)
  if (how.end < source.byteLength) return after.offset
  const length = how.deferred ? { length: source.byteLength } : {}
  return (await store.update(after, { ...length, completed: true })).offset
}
