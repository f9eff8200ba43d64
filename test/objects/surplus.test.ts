/** Multiparts with parts that do not count, on a storage whose objects are of all parts or none. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { SimulatedBucket, SimulatedOptions } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  body,
  code,
  data,
  failing,
  fatal,
  finish,
  get,
  isSame,
  newUpload,
  type ObjectStore,
  part,
  paused,
  setup,
  upload,
} from './support.ts'

const bytes = data(8 * part + 3000)
const others = data(3 * part, 2)

/** An upload with two parts and a tail that count, and parts behind them that do not. */
async function begin(store: ObjectStore, length: number | null = bytes.byteLength): Promise<void> {
  await store.create(newUpload('a', length))
  await appendUntil(store, 2 * part + 500)
  await fail(store)
}

async function appendUntil(store: ObjectStore, end: number): Promise<void> {
  const upload = await get(store, 'a')
  await store.append(upload, body(bytes.subarray(upload.offset, end)))
}

async function fail(store: ObjectStore): Promise<void> {
  await assert.rejects(
    store.append(await get(store, 'a'), failing(others, fatal('wrong checksum')), {
      atomic: true,
    }),
    /wrong checksum/,
  )
}

/** Puts a part into the multipart of `a` that no record names. */
async function stray(bucket: SimulatedBucket, number: number, size: number): Promise<void> {
  const [[multipartId] = ['']] = bucket.open
  await bucket.putPart({ key: 'a', multipartId }, number, others.subarray(0, size), { signal: AbortSignal.any([]) })
}

const everyPart = { wantsEveryPart: true } satisfies SimulatedOptions

suite('parts that do not count, on a storage that wants every part named', () => {
  for (const copies of [true, false]) {
    test(`the object is the upload, ${copies ? 'copied by the storage' : 'without copies: read and sent'}`, async () => {
      const { bucket, store } = setup(everyPart)
      await begin(store)
      if (!copies) delete bucket.copyPart
      await finish(another(bucket), 'a', bytes)
      await assertWhole(bucket, 'a', bytes)
      assert.deepEqual((await get(store, 'a')).surplus, [])
      assert.equal(bucket.calls.has('copyPart'), copies)
    })
  }

  test('where nobody wants them named: made once, the parts are not asked for', async () => {
    const { bucket, store } = setup()
    await begin(store)
    await finish(store, 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
    assert.equal(bucket.calls.get('complete'), 1)
    assert.ok(!bucket.calls.has('parts'))
  })

  test('where there are none: made once, the parts are not asked for', async () => {
    const { bucket, store } = setup(everyPart)
    await upload(store, 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
    assert.equal(bucket.calls.get('complete'), 1)
    assert.ok(!bucket.calls.has('parts'))
  })

  test('the headers of the object are those of the upload', async () => {
    const { bucket, store } = setup(everyPart, { objectHeaders: () => ({ contentType: 'image/png' }) })
    await begin(store)
    await finish(store, 'a', bytes)
    assert.deepEqual(bucket.objects.get('a')?.headers, { contentType: 'image/png' })
  })

  test('ones that are too small to lie among others: the object is the upload', async () => {
    const { bucket, store } = setup(everyPart)
    await begin(store)
    const { nextPart } = await get(store, 'a')
    await stray(bucket, nextPart - 1, 100)
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  })

  test('before the first that counts, and behind the last, which is large: the object is the upload', async () => {
    const { bucket, store } = setup(everyPart)
    const whole = bytes.subarray(0, 4 * part)
    await store.create(newUpload('a', whole.byteLength))
    const append = store.append(await get(store, 'a'), failing(others, fatal()), { atomic: true })
    await assert.rejects(append, /fatal/)
    // Uncounted parts alone leave no record of a multipart.
    await store.append(await get(store, 'a'), body(whole.subarray(0, 3 * part)))
    await stray(bucket, 1, part)
    await stray(bucket, 200, part + 5)
    await finish(store, 'a', whole)
    await assertWhole(bucket, 'a', whole)
  })

  for (const times of [1, 2, 3]) {
    const title = times < 3 ? 'the object is the upload' : '503, and the object is the upload when none comes'
    test(`more of them come while the object is made, ${times} times: ${title}`, async () => {
      let free = 0
      let left = times
      const { bucket, store } = setup({
        ...everyPart,
        before: async (call) => {
          // The first one does not name those that were there.
          if (call === 'complete' && bucket.calls.get('complete') !== 1 && left-- > 0) await stray(bucket, --free, part)
        },
      })
      await begin(store)
      free = (await get(store, 'a')).nextPart
      const next = another(bucket)
      if (times === 3) {
        await assert.rejects(finish(next, 'a', bytes), { code: 'unavailable', transient: true })
        assert.equal((await get(next, 'a')).offset, bytes.byteLength)
      }
      await finish(next, 'a', bytes)
      await assertWhole(bucket, 'a', bytes)
    })
  }

  test('a part that counts is gone: gone, and so is the record', async () => {
    const { bucket, store } = setup(everyPart)
    await begin(store)
    for (const { parts } of bucket.open.values()) parts.delete(1)
    await assert.rejects(finish(store, 'a', bytes), code('gone'))
    assert.equal(await store.get('a'), null)
  })

  test('one behind a last part that is too small to lie among others: gone, since that cannot be read', async () => {
    const { bucket, store } = setup(everyPart)
    await begin(store)
    await appendUntil(store, 8 * part)
    await stray(bucket, 1000, part)
    await assert.rejects(finish(store, 'a', bytes), code('gone'))
    assert.equal(await store.get('a'), null)
    assert.equal(bucket.objects.get('a'), undefined)
  })

  test('the parts cannot be listed: that is the error, nothing is lost', async () => {
    let forbidden = true
    const { bucket, store } = setup({
      ...everyPart,
      before(call) {
        if (call === 'parts' && forbidden) throw fatal('AccessDenied')
      },
    })
    await begin(store)
    await assert.rejects(finish(store, 'a', bytes), /AccessDenied/)
    forbidden = false
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  })

  for (const [call, partNumber] of [
    ['copyPart', 2],
    ['complete', 0],
  ] as const) {
    test(`a holder paused before its ${call}, its successor makes the object: every byte is the upload’s`, async () => {
      let [armed, dies] = [false, false]
      const { bucket, store, reached, resume } = paused(
        (name, key, number) => armed && name === call && key === 'a' && number === partNumber,
        {},
        {
          ...everyPart,
          after(name) {
            if (bucket.objects.has('a')) armed = true
            // The successor ends before its record says so: the former finds its own.
            const isMade = bucket.objects.get('a')?.size === bytes.byteLength
            if (dies && name === 'complete' && isMade) throw fatal('dies')
          },
        },
      )
      await begin(store)
      await appendUntil(store, 4 * part)
      await fail(store)
      const former = finish(store, 'a', bytes)
      await reached
      dies = true
      await assert.rejects(finish(another(bucket), 'a', bytes), /dies/)
      dies = false
      assert.ok(isSame(bucket.objects.get('a')?.bytes, bytes))
      resume()
      await former
      await assertWhole(bucket, 'a', bytes)
    })
  }

  test('a process that dies when the object is made: the next one takes it as it is', async () => {
    let left = 3
    const { bucket, store } = setup({
      ...everyPart,
      after(call) {
        if (call === 'complete' && --left === 0) throw fatal('dies')
      },
    })
    await begin(store)
    await assert.rejects(finish(store, 'a', bytes), /dies/)
    const made = bucket.objects.get('a')
    const next = another(bucket)
    await next.update(await get(next, 'a'), { completed: true })
    await assertWhole(bucket, 'a', bytes)
    assert.equal(bucket.objects.get('a'), made)
  })

  for (const mode of ['one call fails', 'the process dies'] as const) {
    for (const when of ['before', 'after'] as const) {
      for (const length of [bytes.byteLength, null]) {
        test(`${length === null ? 'deferred length: ' : ''}${mode} ${when} its effect, at every call: nothing is lost`, async () => {
          const calls = await strike(Infinity, when, mode, length)
          for (let n = 1; n <= calls; n++) await strike(n, when, mode, length)
          assert.ok(calls > 10)
        })
      }
    }
  }
})

/** Strikes at the nth call of the end of an upload, goes on from there, and tells how many calls were made. */
async function strike(
  at: number,
  when: 'before' | 'after',
  mode: 'one call fails' | 'the process dies',
  length: number | null,
): Promise<number> {
  let [calls, armed, alive] = [0, false, true]
  const { bucket, store } = setup({
    ...everyPart,
    before() {
      if (!armed) return
      calls++
      if (!alive || (calls === at && when === 'before')) throw dying()
    },
    after() {
      if (armed && calls === at && when === 'after') throw dying()
    },
  })
  const dying = () => {
    if (mode === 'the process dies') alive = false
    return fatal(`call ${at}`)
  }
  await begin(store, length)
  armed = true
  if (at === Infinity) await finish(store, 'a', bytes)
  else await finish(store, 'a', bytes).catch((error: unknown) => assert.match(String(error), /call \d+/))
  armed = false
  await finish(another(bucket), 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
  return calls
}
