/** Several servers that finish an upload with parts that do not count, and what happens to its object meanwhile. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { suite, test } from 'node:test'
import type { SimulatedBucket } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  body,
  code,
  data,
  failing,
  fatal,
  finish,
  gate,
  get,
  isSame,
  newUpload,
  type ObjectStore,
  part,
  setup,
} from './support.ts'

const bytes = data(8 * part + 3000)
const signal = AbortSignal.any([])

async function begin(store: ObjectStore, whole = bytes): Promise<void> {
  await store.create(newUpload('a', whole.byteLength))
  await store.append(await get(store, 'a'), body(whole.subarray(0, 2 * part)))
  const wrong = store.append(await get(store, 'a'), failing(data(3 * part, 2), fatal('checksum')), { atomic: true })
  await assert.rejects(wrong, /checksum/)
}

/** As `finish`, once. */
async function finishOnce(store: ObjectStore, whole = bytes): Promise<void> {
  const { offset } = await get(store, 'a')
  const upload = await store.append(await get(store, 'a'), body(whole.subarray(offset)))
  await store.update(upload, { completed: true })
}

/** The bucket as one server sees it, whose nth call of this name waits. */
function pausing(bucket: SimulatedBucket, name: 'complete' | 'parts', nth: number) {
  const reached = gate()
  const resumed = gate()
  let count = 0
  const wait = async (): Promise<void> => {
    if (++count !== nth) return
    reached.open()
    await resumed.opened
  }
  const view: SimulatedBucket = {
    ...bucket,
    ...(name === 'complete' && {
      complete: async (...args: Parameters<SimulatedBucket['complete']>) => (await wait(), bucket.complete(...args)),
    }),
    ...(name === 'parts' && {
      parts: async (...args: Parameters<NonNullable<SimulatedBucket['parts']>>) => (
        await wait(),
        (await bucket.parts?.(...args)) ?? null
      ),
    }),
  }
  return { store: another(view), reached: reached.opened, resume: resumed.open }
}

/** ETags as of most services: the same bytes have the same. */
function hashed(bucket: SimulatedBucket): SimulatedBucket {
  const putPart = bucket.putPart.bind(bucket)
  bucket.putPart = async (multipart, number, ...rest) => {
    if ((await putPart(multipart, number, ...rest)) === null) return null
    const parts = bucket.open.get(multipart.multipartId)?.parts
    const stored = parts?.get(number)
    if (parts === undefined || stored === undefined) return null
    const version = createHash('md5').update(stored.bytes).digest('hex')
    parts.set(number, { ...stored, version })
    return version
  }
  return bucket
}

suite('a server paused before it completes what it has copied, another one finishes the upload', () => {
  /** @param meanwhile What happens then. */
  async function pausedThere(meanwhile: (store: ObjectStore, bucket: SimulatedBucket) => Promise<void>) {
    const { bucket, store } = setup({ wantsEveryPart: true })
    await begin(store)
    // Without the others: refused; of all; of the copies.
    const slow = pausing(bucket, 'complete', 3)
    const former = assert.rejects(finishOnce(slow.store), code('lock_lost'))
    await slow.reached
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
    await meanwhile(another(bucket), bucket)
    slow.resume()
    await former
    return bucket
  }

  test('it is removed: its object does not come back', async () => {
    const bucket = await pausedThere(async (store) => store.terminate(await get(store, 'a')))
    assert.deepEqual([[...bucket.objects.keys()], bucket.open.size], [[], 0])
  })

  test('its id is used anew: the new object stays', async () => {
    const others = data(5 * part, 9)
    const bucket = await pausedThere(async (store) => {
      await store.terminate(await get(store, 'a'))
      await store.create(newUpload('a', others.byteLength))
      await finish(store, 'a', others)
    })
    await assertWhole(bucket, 'a', others)
  })

  test('the application puts something else in its place: that stays', async () => {
    const bucket = await pausedThere(async (_, its) => void (await its.put('a', data(10), {}, { signal })))
    assert.ok(isSame(bucket.objects.get('a')?.bytes, data(10)))
  })
})

test('removed by another server before what was copied is completed: no object comes back', async () => {
  const { bucket, store } = setup({ wantsEveryPart: true })
  await begin(store)
  const slow = pausing(bucket, 'complete', 3)
  const former = assert.rejects(finishOnce(slow.store), code('lock_lost'))
  await slow.reached
  const next = another(bucket)
  await next.terminate(await get(next, 'a'))
  slow.resume()
  await former
  assert.deepEqual([[...bucket.objects.keys()], bucket.open.size], [[], 0])
})

test('removed by a server that has read the record before what was copied is named: no object comes back', async () => {
  const { bucket, store } = setup({ wantsEveryPart: true })
  await begin(store)
  const remover = another(bucket)
  const read = await get(remover, 'a')
  const slow = pausing(bucket, 'complete', 3)
  const former = finishOnce(slow.store)
  await slow.reached
  await assert.rejects(remover.terminate(read), code('lock_lost'))
  await remover.terminate(await get(remover, 'a'))
  slow.resume()
  await assert.rejects(former, code('lock_lost'))
  assert.deepEqual([[...bucket.objects.keys()], bucket.open.size], [[], 0])
})

test('completion is refused of a multipart that is not there: gone, and not tried for ever', async () => {
  const { bucket, store } = setup()
  bucket.complete = () => Promise.resolve('invalid')
  await begin(store)
  bucket.parts = () => Promise.resolve(null)
  await assert.rejects(finishOnce(another(bucket)), code('gone'))
})

test('small parts of a server that has gone on since: they are not replaced', async () => {
  const { bucket, store } = setup({ wantsEveryPart: true })
  hashed(bucket)
  // Cut otherwise the last part of one is small, the other’s is not.
  const whole = data(8 * part + 20_000)
  await begin(store, whole)
  const slow = pausing(bucket, 'parts', 1)
  const former = assert.rejects(finishOnce(slow.store, whole), code('lock_lost'))
  await slow.reached
  const next = pausing(bucket, 'complete', 1)
  await next.store.append(await get(store, 'a'), body(whole.subarray(2 * part, 7 * part + 19_000)))
  const latter = finishOnce(next.store, whole)
  await next.reached
  slow.resume()
  await former
  next.resume()
  await latter
  await assertWhole(bucket, 'a', whole)
})

test('two servers that send the tail of one record, and get ETags that differ (SSE-KMS): the object is the upload', async () => {
  for (const wantsEveryPart of [false, true]) {
    const { bucket, store } = setup({ wantsEveryPart })
    await store.create(newUpload('a', null))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, 8 * part)))
    await store.append(await get(store, 'a'), body(bytes.subarray(8 * part)))
    const end = async (its: ObjectStore) =>
      void (await its.update(await get(its, 'a'), { length: bytes.byteLength, completed: true }))
    const one = pausing(bucket, 'complete', 1)
    const former = end(one.store)
    await one.reached
    const other = pausing(bucket, 'complete', 1)
    const latter = assert.rejects(end(other.store), code('lock_lost'))
    await other.reached
    one.resume()
    await former
    other.resume()
    await latter
    await assertWhole(bucket, 'a', bytes)
  }
})
