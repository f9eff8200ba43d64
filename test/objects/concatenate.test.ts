import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BucketLimits } from '../../src/objects/bucket.ts'
import type { SimulatedBucket } from './simulated-bucket.ts'
import {
  another,
  assertWhole,
  clearLeftovers,
  code,
  data,
  fatal,
  gate,
  get,
  isSame,
  kib,
  newUpload,
  type ObjectStore,
  part,
  random,
  setup,
  smallLimits,
  uniformLimits,
  upload,
} from './support.ts'

const partial = { concat: { type: 'partial' as const } }
/** Between two whole parts: the smallest part, and what is copied at most. */
const { minPartBytes, maxCopyBytes } = smallLimits

const mixes: Record<string, readonly number[]> = {
  'nothing at all': [0, 0],
  'less than a part': [5, 0, 7],
  'exactly the smallest part': [minPartBytes],
  'one large': [4 * part],
  'large ones': [2 * part, 3 * part + 1, 20 * kib],
  'a tiny one first': [1, 3 * part],
  'a tiny one last': [3 * part, 1],
  'tiny ones between': [2 * part, 1, 0, 2, part, 3, 2 * part, 15 * kib],
  'many tiny ones': Array.from({ length: 40 }, (_, n) => 1000 + n),
  'one byte short of a part each': [minPartBytes - 1, minPartBytes - 1, minPartBytes - 1, 3],
  'more than one copy takes': [3 * maxCopyBytes + 5, maxCopyBytes, maxCopyBytes + 1],
}

const kinds: Record<string, { limits?: Partial<BucketLimits>; copies: boolean }> = {
  'copied by the storage': { copies: true },
  'without copies': { copies: false },
  'equal parts': { limits: uniformLimits, copies: true },
}

for (const [kind, { limits, copies }] of Object.entries(kinds)) {
  for (const [title, sizes] of Object.entries(mixes)) {
    test(`concatenate ${kind}: ${title}; identical`, async () => {
      const { bucket, store } = await prepared(sizes, limits, copies)
      const { expected, ids } = await partials(store, sizes)
      bucket.calls.clear()
      const done = await join(store, ids)
      assert.deepEqual([done.length, done.offset, done.completed], [expected.byteLength, expected.byteLength, true])
      await assertWhole(bucket, 'final', expected)
      if (!copies) assert.equal(bucket.calls.get('copyPart'), undefined)
    })
  }
}

test('concatenate: the same partial several times, in several places', async () => {
  const { bucket, store } = await prepared([], {}, true)
  const { expected: one } = await partials(store, [2 * part + 1, 10])
  await join(store, ['p0', 'p1', 'p0', 'p0', 'p1'])
  const [large, tiny] = [one.subarray(0, 2 * part + 1), one.subarray(2 * part + 1)]
  await assertWhole(bucket, 'final', Buffer.concat([large, tiny, large, large, tiny]))
})

test('concatenate: random mixes; identical, and few bytes come through this process', async () => {
  const next = random(7)
  for (let round = 0; round < 15; round++) {
    const sizes = Array.from({ length: 1 + Math.floor(next() * 8) }, () =>
      Math.floor(next() < 0.5 ? next() * 30 * kib : next() * 5 * part),
    )
    const { bucket, store } = await prepared(sizes, {}, true)
    const { expected, ids } = await partials(store, sizes)
    const putPart = bucket.putPart.bind(bucket)
    let sent = 0
    bucket.putPart = (multipart, n, bytes, options) => {
      sent += bytes.byteLength
      return putPart(multipart, n, bytes, options)
    }
    await join(store, ids)
    await assertWhole(bucket, 'final', expected)
    const tiny = sizes.filter((size) => size < minPartBytes)
    assert.ok(sent <= (tiny.length + sizes.length) * minPartBytes, `${sent} bytes of ${sizes.join(' ')}`)
    if (sizes.every((size) => size >= minPartBytes && size <= maxCopyBytes)) assert.equal(sent, 0)
  }
})

test('concatenate: large partials are copied, none of their bytes come through this process', async () => {
  const { bucket, store } = await prepared([], {}, true)
  const { ids } = await partials(store, [2 * part, minPartBytes, maxCopyBytes, 5])
  bucket.calls.clear()
  await join(store, ids)
  assert.deepEqual(
    ['copyPart', 'putPart', 'read'].map((call) => bucket.calls.get(call) ?? 0),
    [4, 0, 0],
  )
})

for (const [title, sizes] of Object.entries({ large: [2 * part, 5, 3 * part], small: [10, 20] })) {
  test(`concatenate ${title}: the process dies at every call; done again, identical`, async () => {
    for (const when of ['before', 'after'] as const) {
      for (let at = 1; ; at++) {
        let calls = 0
        let armed = false
        const { bucket, store } = setup({
          [when]: () => {
            if (armed && ++calls >= at) throw fatal()
          },
        })
        const { expected, ids } = await partials(store, sizes)
        await store.create(newUpload('final', null, { concat: { type: 'final', value: 'final;', partials: ids } }))
        armed = true
        const failed = await join(store, ids).then(
          () => false,
          () => true,
        )
        armed = false
        const seen = await get(store, 'final')
        assert.ok(!seen.stored || isSame(bucket.objects.get('final')?.bytes, expected))
        await clearLeftovers(another(bucket))
        await join(another(bucket), ids)
        await assertWhole(bucket, 'final', expected)
        if (!failed) break
      }
    }
  })
}

test('concatenate: a lock lost in between means that nothing more is written', async () => {
  const lost = fatal('lost')
  for (const allowed of [0, 1, 2]) {
    const { bucket, store } = await prepared([], {}, true)
    const { ids } = await partials(store, [2 * part, 3 * part])
    const found = await Promise.all(ids.map((id) => get(store, id)))
    const final = await store.create(
      newUpload('final', null, { concat: { type: 'final', value: 'final;', partials: ids } }),
    )
    let guards = 0
    const guard = () => {
      if (++guards > allowed) throw lost
    }
    await assert.rejects(store.concatenate(final, found, { guard }), lost)
    assert.equal(bucket.objects.has('final'), allowed === 2)
    assert.equal((await get(store, 'final')).stored, false)
    assert.equal(bucket.open.size, 0)
  }
})

test('concatenate: the storage says completed, but the object is not there; not joined, and no multipart is left', async () => {
  const { bucket, store } = setup({
    after(call, key) {
      if (call === 'complete' && key === 'final') bucket.objects.delete(key)
    },
  })
  const { ids } = await partials(store, [2 * part, 3 * part])
  await assert.rejects(join(store, ids), code('corrupt'))
  assert.equal((await get(store, 'final')).stored, false)
  assert.equal(bucket.open.size, 0)
})

test('concatenate: joined, but the process dies before it has removed what says that the final waits; it is not found', async () => {
  let armed = false
  const { bucket, store } = setup({
    before(call, key) {
      if (armed && call === 'delete' && key.startsWith('.finals/')) throw fatal()
    },
  })
  const { ids } = await partials(store, [10, 20])
  armed = true
  await assert.rejects(join(store, ids), code('unavailable'))
  armed = false
  assert.equal((await get(store, 'final')).stored, true)
  assert.ok([...bucket.objects.keys()].some((key) => key.startsWith('.finals/')))
  assert.deepEqual(await store.finalsOf('p0'), [])
})

test('concatenate: a final waits for its partials and is found by each of them, until it is joined or removed', async () => {
  const { bucket, store } = setup()
  const [one, two] = ['one', 'some/very/ünusual, name'.normalize('NFC')]
  const concat = { type: 'final' as const, value: 'final;x y', partials: [one, two, one] }
  for (const id of ['f1', 'f2', 'f3']) await store.create(newUpload(id, null, { concat }))
  assert.deepEqual((await store.finalsOf(one)).sort(), ['f1', 'f2', 'f3'])
  assert.deepEqual((await another(bucket).finalsOf(two)).sort(), ['f1', 'f2', 'f3'])
  assert.deepEqual(await store.finalsOf('on'), [])
  const partsOf = await Promise.all([one, two].map((id, n) => upload(store, id, data(100 + n), partial)))
  const [p1, p2] = partsOf
  assert.ok(p1 && p2)
  await store.terminate(await get(store, 'f2'))
  await store.concatenate(await get(store, 'f1'), [p1, p2, p1])
  assert.deepEqual(await store.finalsOf(one), ['f3'])
  const waiting: string[] = []
  for await (const { id } of store.incomplete()) waiting.push(id)
  assert.deepEqual(waiting.sort(), ['f1', 'f3'])
  await store.terminate(await get(store, 'f3'))
  await store.terminate(await get(store, 'f1'))
  assert.deepEqual(
    [...bucket.objects.keys()].filter((key) => key.startsWith('.finals/')),
    [],
  )
})

async function prepared(
  sizes: readonly number[],
  limits: Partial<BucketLimits> | undefined,
  copies: boolean,
): Promise<{ bucket: SimulatedBucket; store: ObjectStore }> {
  const { bucket } = setup({ limits: { ...limits } })
  if (!copies) delete bucket.copyPart
  assert.ok(sizes.every((size) => size >= 0))
  return { bucket, store: another(bucket) }
}

async function partials(
  store: ObjectStore,
  sizes: readonly number[],
): Promise<{ expected: Uint8Array; ids: string[] }> {
  const pieces = sizes.map((size, n) => data(size, n + 1))
  for (const [n, piece] of pieces.entries()) await upload(store, `p${n}`, piece, partial)
  return { expected: Buffer.concat(pieces), ids: pieces.map((_, n) => `p${n}`) }
}

async function join(store: ObjectStore, ids: readonly string[]) {
  const found = new Map(await Promise.all([...new Set(ids)].map(async (id) => [id, await get(store, id)] as const)))
  const concat = { type: 'final' as const, value: 'final;', partials: ids }
  const final = (await store.get('final')) ?? (await store.create(newUpload('final', null, { concat })))
  const joined = final.stored
    ? final
    : await store.concatenate(
        final,
        ids.flatMap((id) => found.get(id) ?? []),
      )
  return store.update(joined, { completed: true })
}

test('concatenate: as many copies at a time as there are parts of an upload, and all of them have ended before an abort', async () => {
  for (const fails of [false, true]) {
    let running = 0
    let most = 0
    let runningAtAbort: number | null = null
    let failed = false
    const [full, thrown] = [gate(), gate()]
    const { bucket, store } = setup(
      {
        async before(call) {
          if (call === 'abort') runningAtAbort = running
          if (call !== 'copyPart') return
          most = Math.max(most, ++running)
          if (running === 3) full.open()
          await full.opened
          // The one that fails leaves others behind.
          const isFirst = running === most && fails && !failed
          failed ||= isFirst
          if (isFirst) thrown.open()
          else if (fails) await thrown.opened
          // Time for an abort that comes too early.
          for (let turn = 0; !isFirst && turn < 5; turn++) await new Promise(setImmediate)
          running--
          if (isFirst) throw fatal()
        },
      },
      { partConcurrency: 3 },
    )
    const { expected, ids } = await partials(
      store,
      Array.from({ length: 7 }, () => 2 * part),
    )
    if (fails) {
      await assert.rejects(join(store, ids), code('unavailable'))
      assert.equal(runningAtAbort, 0)
    } else {
      await join(store, ids)
      await assertWhole(bucket, 'final', expected)
    }
    assert.equal(most, 3)
  }
})
