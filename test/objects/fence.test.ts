/** Several processes at one upload: only the one whose record was written last goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/errors.ts'
import type { SimulatedBucket } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  body,
  clearLeftovers,
  code,
  data,
  fatal,
  finish,
  gate,
  get,
  isSame,
  newUpload,
  part,
  passing,
  paused,
  setup,
  upload,
} from './support.ts'

const bytes = data(3 * part + 100)
const other = data(3 * part + 100, 2)

test('a holder paused before its record: after its successor has recorded, its record is refused', async () => {
  let armed = false
  const { bucket, store, reached, resume } = paused((call, key) => armed && call === 'put' && key === 'a.info')
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  const zombie = store.append(await get(store, 'a'), body(other.subarray(0, 2 * part)))
  await reached
  const next = another(bucket)
  const after = await next.append(await get(next, 'a'), body(bytes.subarray(0, part + 50)))
  const lost = assert.rejects(zombie, code('lock_lost'))
  resume()
  await lost
  assert.equal((await get(next, 'a')).revision, after.revision)
  await finish(next, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('a holder paused before it stores a small object: the object of its successor stays', async () => {
  const { bucket, store, reached, resume } = paused((call, key) => call === 'put' && key === 'a')
  const zombie = upload(store, 'a', other.subarray(0, 500))
  await reached
  const next = another(bucket)
  await finish(next, 'a', bytes.subarray(0, 500))
  resume()
  // Its client, told 423, asks again and finds the upload complete.
  await zombie
  await assertWhole(bucket, 'a', bytes.subarray(0, 500))
})

test('a small object that a process stored before it died gives way to what was sent again', async () => {
  let armed = true
  const { bucket, store } = setup({
    after(call, key) {
      if (armed && call === 'put' && key === 'a') throw fatal()
    },
  })
  await assert.rejects(upload(store, 'a', other.subarray(0, 500)), code('unavailable'))
  assert.ok(isSame(bucket.objects.get('a')?.bytes, other.subarray(0, 500)))
  armed = false
  await finish(another(bucket), 'a', bytes.subarray(0, 500))
  await assertWhole(bucket, 'a', bytes.subarray(0, 500))
})

test('a holder whose multipart was swept away meanwhile does not remove the record of its successor', async () => {
  let armed = false
  // Its multipart is made and about to be recorded.
  const { bucket, store, reached, resume } = paused((call, key) => armed && call === 'put' && key === 'a.info')
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  const zombie = store.append(await get(store, 'a'), body(other.subarray(0, part)))
  await reached
  const next = another(bucket)
  assert.equal(await clearLeftovers(next), 1)
  await next.append(await get(next, 'a'), body(bytes.subarray(0, 2 * part)))
  const lost = assert.rejects(zombie, code('lock_lost'))
  resume()
  await lost
  assert.equal((await get(next, 'a')).offset, 2 * part)
  await finish(next, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('a holder paused while its upload is removed leaves no record behind', async () => {
  let armed = false
  const { bucket, store, reached, resume } = paused((call, key) => armed && call === 'put' && key === 'a.info')
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  const zombie = store.append(await get(store, 'a'), body(bytes.subarray(0, 2 * part)))
  await reached
  const next = another(bucket)
  await next.terminate(await get(next, 'a'))
  const lost = assert.rejects(zombie, code('lock_lost'))
  resume()
  await lost
  assert.equal(await next.get('a'), null)
  await clearLeftovers(next)
  assert.deepEqual([bucket.objects.size, bucket.open.size], [0, 0])
})

test('two writers at once: one of them has its bytes recorded, the other is told that it lost', async () => {
  for (const end of [100, part, 2 * part + 30_000]) {
    const { bucket, store } = setup()
    await store.create(newUpload('a', bytes.byteLength))
    const [one, two] = [another(bucket), another(bucket)]
    const read = await Promise.all([get(one, 'a'), get(two, 'a')])
    const results = await Promise.allSettled([
      one.append(read[0], body(bytes.subarray(0, end))),
      two.append(read[1], body(bytes.subarray(0, end))),
    ])
    const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    assert.equal(lost.length, 1)
    code('lock_lost')(lost[0])
    await finish(store, 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})

test('create: an id that is taken, also by two at once, or by an object that is not ours, is refused', async () => {
  const { bucket, store } = setup()
  const results = await Promise.allSettled([
    store.create(newUpload('a', 5, { metadata: 'one MQ==' })),
    another(bucket).create(newUpload('a', 6, { metadata: 'two Mg==' })),
  ])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  await assert.rejects(store.create(newUpload('a', 7)), code('exists'))
  bucket.objects.set('theirs', { bytes: bytes.slice(), size: bytes.byteLength, version: 'x', headers: {} })
  await assert.rejects(store.create(newUpload('theirs', 7)), code('exists'))
  for (const id of ['a.info', 'a.INFO', '', '.finals/x', '../a']) {
    await assert.rejects(store.create(newUpload(id, 7)), TypeError)
    assert.equal(await store.get(id), null)
  }
})

/** What is done with the bucket, and the writes of it in their order, each of whose answers is lost once. */
const works: Record<string, (bucket: SimulatedBucket) => Promise<void>> = {
  'a small upload': async (bucket) => void (await upload(another(bucket), 'a', bytes.subarray(0, 100))),
  'a large upload': async (bucket) => void (await upload(another(bucket), 'a', bytes)),
  'a large upload by pieces': async (bucket) => {
    const store = another(bucket)
    await store.create(newUpload('a', bytes.byteLength))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, part + 20)))
    await store.append(await get(store, 'a'), body(bytes.subarray(part + 20, 2 * part)), { atomic: true })
    await finish(store, 'a', bytes)
  },
  'a final upload': async (bucket) => {
    const store = another(bucket)
    const one = await upload(store, 'one', bytes, { concat: { type: 'partial' } })
    const two = await upload(store, 'two', bytes.subarray(0, 10), { concat: { type: 'partial' } })
    const concat = { type: 'final' as const, value: 'final;', partials: ['two', 'one'] }
    const final = await store.create(newUpload('a', null, { concat }))
    await store.update(await store.concatenate(final, [two, one]), { completed: true })
  },
  'an upload that is removed': async (bucket) => {
    const store = another(bucket)
    await upload(store, 'a', bytes)
    await store.terminate(await get(store, 'a'))
  },
}

for (const [title, work] of Object.entries(works)) {
  test(`${title}: the answer of every call is lost once; the same comes of it`, async () => {
    let calls = 0
    let at = Infinity
    const count = () => {
      if (++calls === at) throw passing()
    }
    const plain = setup({ after: count }).bucket
    await work(plain)
    const all = calls
    for (let n = 1; n <= all; n++) {
      ;[calls, at] = [0, n]
      const { bucket } = setup({ after: count })
      await work(bucket)
      at = Infinity
      await clearLeftovers(another(bucket))
      assert.deepEqual([...bucket.objects.keys()].sort(), [...plain.objects.keys()].sort())
      assert.ok(
        title === 'an upload that is removed' || isSame(bucket.objects.get('a')?.bytes, plain.objects.get('a')!.bytes),
      )
      assert.equal(bucket.open.size, 0)
    }
  })
}

test('the record of a checksummed body is written, but its answer never comes; the parts that it names stay', async () => {
  let records = 0
  const { bucket, store } = setup({
    after(call, key) {
      // The one that creates it, and this.
      if (call === 'put' && key === 'a.info' && ++records === 2) throw fatal()
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  await assert.rejects(
    store.append(await get(store, 'a'), body(bytes.subarray(0, 2 * part)), { atomic: true }),
    code('unavailable'),
  )
  assert.equal((await get(store, 'a')).offset, 2 * part)
  await finish(another(bucket), 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('get: an outage is an error of the storage, never an unknown upload; so is a record that cannot be read', async () => {
  let broken: (() => never) | null = null
  const { bucket, store } = setup({ before: () => broken?.() })
  await store.create(newUpload('a', 5))
  for (const error of [fatal(), passing(), new StoreError('full', 'full'), new TypeError('fetch failed')]) {
    broken = () => {
      throw error
    }
    await assert.rejects(store.get('a'), error)
    await assert.rejects(store.get('a', 'append'), error)
  }
  broken = null
  bucket.objects.set('a.info', { bytes: bytes.slice(0, 50), size: 50, version: 'x', headers: {} })
  await assert.rejects(store.get('a'), code('corrupt'))
})

test('a body that throws while its checkpoint gets no answer leaves the parts that the record may name', async () => {
  let armed = false
  const hit = gate()
  const { bucket, store } = setup(
    {
      after(call, key) {
        if (!armed || call !== 'put' || key !== 'a.info') return
        hit.open()
        throw fatal()
      },
    },
    { checkpointMs: 1 },
  )
  await store.create(newUpload('a', bytes.byteLength))
  armed = true
  async function* cut() {
    yield bytes.subarray(0, 2 * part)
    await hit.opened
    throw new Error('too large')
  }
  await assert.rejects(store.append(await get(store, 'a'), cut()))
  armed = false
  await finish(another(bucket), 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})
