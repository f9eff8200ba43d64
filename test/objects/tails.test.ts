/** Tails that appends find: what of them is in memory, and what is recorded of a body that may throw. */
import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import type { AppendOptions } from '../../src/store.ts'
import {
  another,
  assertWhole,
  body,
  collected,
  data,
  fatal,
  type Feed,
  feed,
  finish,
  get,
  kib,
  newUpload,
  type ObjectStore,
  part,
  random,
  setup,
  upload,
} from './support.ts'

const bytes = data(3 * part + 100)

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_700_000_000_000 })
})

/** Lets time pass until this is done. */
async function during<T>(work: Promise<T>): Promise<T> {
  let done = false
  const over = () => (done = true)
  work.then(over, over)
  for (let n = 0; n < 600 && !done; n++) await pass(100)
  assert.ok(done, 'nothing comes of it within a minute')
  return work
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    mock.timers.tick(100)
    await new Promise(setImmediate)
  }
}

const kinds: Record<string, AppendOptions> = {
  'of declared length': { bounded: true },
  'in chunks': {},
  'with a checksum': { atomic: true, bounded: true },
  'in chunks, with a checksum': { atomic: true },
}

for (const [title, options] of Object.entries(kinds)) {
  test(`tails: silent clients with bodies ${title}; only a tenth of the budget is held, and all go on`, async () => {
    const { bucket, store } = setup({}, { bufferBudget: 5 * part })
    const appends = []
    const tails: WeakRef<ArrayBufferLike>[] = []
    for (let n = 0; n < 12; n++) {
      await store.create(newUpload(`u${n}`, bytes.byteLength))
      await store.append(await get(store, `u${n}`), body(bytes.subarray(0, 10 * kib)))
      const found = await get(store, `u${n}`)
      tails.push(new WeakRef(found.rest?.tail.buffer ?? assert.fail('no tail')))
      const silent = feed()
      appends.push({ found, silent, appending: store.append(found, silent, options) })
    }
    await collected(() => tails.filter((tail) => tail.deref() !== undefined).length <= 3)
    for (const [n, { silent, appending }] of appends.entries()) {
      if (n % 2 === 0) await during(silent.push(bytes.subarray(10 * kib)))
      silent.end()
      const after = await during(appending)
      assert.equal(after.offset, n % 2 === 0 ? bytes.byteLength : 10 * kib)
      if (n % 2 === 0) await store.update(after, { completed: true })
      else await finish(store, `u${n}`, bytes)
      await assertWhole(bucket, `u${n}`, bytes)
    }
  })
}

/** Uploads whose silent clients make the store hold as many tails as it may, so that others are not. */
async function holdTails(store: ObjectStore): Promise<Feed[]> {
  const silent = []
  for (const id of ['x', 'y', 'z']) {
    await store.create(newUpload(id, bytes.byteLength))
    await store.append(await get(store, id), body(bytes.subarray(0, 12 * kib)))
    const source = feed()
    silent.push(source)
    void store.append(await get(store, id), source)
  }
  return silent
}

for (const [title, more, isParts] of [
  ['less than a part', 20, false],
  ['several parts', 2 * part, true],
] as const) {
  test(`tails: a chunked body of ${title} throws whose tail is not held; as if it had never been`, async () => {
    const { bucket, store } = setup({}, { bufferBudget: 5 * part, checkpointMs: 1000 })
    await holdTails(store)
    await store.create(newUpload('a', bytes.byteLength))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, 10 * kib)))
    const source = feed()
    const appending = store.append(await get(store, 'a'), source)
    appending.catch(() => {})
    for (let n = 0; n < 3; n++) {
      await during(source.push(bytes.subarray(10 * kib + n * more, 10 * kib + (n + 1) * more).slice(0, more)))
      // What a crash would leave: of parts nothing, since their front could not be put back.
      await pass(4000)
      const { offset } = await get(another(bucket), 'a')
      assert.equal(offset, isParts ? 10 * kib : 10 * kib + (n + 1) * more)
      if (isParts) break
    }
    source.fail(fatal('too large'))
    await assert.rejects(during(appending), /too large/)
    const found = await get(another(bucket), 'a')
    assert.equal(found.offset, 10 * kib)
    assert.deepEqual(found.rest?.tail, bytes.subarray(0, 10 * kib))
    await during(finish(store, 'a', bytes))
    await assertWhole(bucket, 'a', bytes)
  })
}

test('tails: chunked bodies of any size whose tail is not held, that end or throw; every byte is kept, or none', async () => {
  const long = data(40 * part)
  for (let seed = 1; seed <= 30; seed++) {
    const next = random(seed)
    const { bucket, store } = setup(
      { limits: { maxParts: 120 } },
      { bufferBudget: 5 * part, checkpointMs: next() < 0.5 ? 500 : 600_000 },
    )
    await holdTails(store)
    const length = Math.floor(next() * long.byteLength)
    const source = long.subarray(0, length)
    await store.create(newUpload('a', length))
    for (let tries = 0; tries < 5; tries++) {
      const found = await get(store, 'a')
      const { offset } = found
      const sent = Math.min(length - offset, Math.floor(next() * 10 * part))
      const isThrown = next() < 0.4
      const fed = feed()
      const appending = store.append(found, fed, next() < 0.3 ? { atomic: true } : {})
      appending.catch(() => {})
      for (let at = 0; at < sent;) {
        const size = Math.min(sent - at, 1 + Math.floor(next() * part))
        await during(fed.push(source.subarray(offset + at, offset + at + size)))
        at += size
        if (next() < 0.2) await pass(Math.floor(next() * 3000))
        // Others, for which a slow one makes way.
        if (next() < 0.1) await during(upload(store, `o${seed}-${tries}-${at}`, bytes))
      }
      if (isThrown) fed.fail(fatal('too large'))
      else fed.end()
      const after = await during(appending).catch(() => null)
      assert.equal(after === null, isThrown, `seed ${seed}`)
      const kept = isThrown ? offset : offset + sent
      if (after !== null) assert.equal(after.offset, kept)
      if (kept === length && after !== null) break
      assert.equal((await get(another(bucket), 'a')).offset, kept, `seed ${seed}, append ${tries}`)
    }
    await during(finish(another(bucket), 'a', source))
    await assertWhole(bucket, 'a', source)
  }
})
