/** Bodies that throw, and bodies whose bytes count only when all have arrived. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  another,
  assertWhole,
  body,
  data,
  failing,
  fatal,
  finish,
  gate,
  get,
  newUpload,
  part,
  setup,
} from './support.ts'

const bytes = data(6 * part + 100)
const wrong = data(6 * part + 100, 2)
const mismatch = new Error('checksum mismatch')

for (const before of [0, 500, part, part + 500]) {
  for (const size of [10, part, 3 * part + 40]) {
    test(`atomic: ${size} bytes behind ${before} throw at their end; no trace`, async () => {
      const { bucket, store } = setup()
      await store.create(newUpload('a', bytes.byteLength))
      if (before > 0) await store.append(await get(store, 'a'), body(bytes.subarray(0, before)))
      const record = await get(store, 'a')
      const told: number[] = []
      const options = { atomic: true, onProgress: (offset: number) => told.push(offset) }
      const upload = await get(store, 'a')
      await assert.rejects(
        store.append(upload, failing(wrong.subarray(before, before + size), mismatch), options),
        mismatch,
      )
      const { offset, rest, multipartId } = await get(another(bucket), 'a')
      assert.deepEqual([offset, rest], [record.offset, record.rest])
      assert.deepEqual([...bucket.open.keys()], multipartId === null ? [] : [multipartId])
      assert.deepEqual(told, [])
      await finish(another(bucket), 'a', bytes)
      await assertWhole(bucket, 'a', bytes)
    })
  }
}

test('atomic: nothing is counted nor told before the body has ended, then all at once', async () => {
  const { bucket, store } = setup({}, { checkpointMs: 1 })
  await store.create(newUpload('a', bytes.byteLength))
  const told: number[] = []
  async function* slow() {
    for (let n = 0; n < 4; n++) {
      yield bytes.subarray(n * part, (n + 1) * part)
      // The clock of the checkpoints goes on in between.
      await new Promise((resolve) => setTimeout(resolve, 5))
      const { offset, rest } = await get(another(bucket), 'a')
      assert.deepEqual([offset, rest?.parts], [0, []])
      assert.deepEqual(told, [])
    }
  }
  const upload = await get(store, 'a')
  const after = await store.append(upload, slow(), { atomic: true, onProgress: (offset) => told.push(offset) })
  assert.deepEqual([after.offset, told], [4 * part, [4 * part]])
  assert.equal((await get(another(bucket), 'a')).offset, 4 * part)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('atomic: the storage fails after several parts; nothing counts', async () => {
  const { bucket, store } = setup({
    before(call, _, partNumber) {
      if (call === 'putPart' && partNumber === 4) throw fatal()
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  await assert.rejects(store.append(await get(store, 'a'), body(bytes), { atomic: true }))
  const { offset, rest, multipartId } = await get(another(bucket), 'a')
  assert.deepEqual([offset, rest?.parts], [0, []])
  assert.deepEqual([multipartId, bucket.open.size], [null, 0])
})

for (const before of [0, 500, part + 500]) {
  for (const checkpoints of [0, 1, 2]) {
    test(`a body throws late, behind ${before} bytes and after ${checkpoints} checkpoints; as if it had never been`, async () => {
      let recorded = 0
      let wanted = gate()
      let armed = false
      const { bucket, store } = setup(
        {
          after(call, key) {
            if (!armed || call !== 'put' || key !== 'a.info') return
            recorded++
            wanted.open()
          },
        },
        { checkpointMs: checkpoints === 0 ? 600_000 : 1 },
      )
      await store.create(newUpload('a', bytes.byteLength))
      if (before > 0) await store.append(await get(store, 'a'), body(bytes.subarray(0, before)))
      const upload = await get(store, 'a')
      armed = true
      async function* late() {
        for (let n = 0; n < Math.max(checkpoints, 1); n++) {
          wanted = gate()
          yield wrong.subarray(before + n * 2 * part, before + (n + 1) * 2 * part)
          if (checkpoints > 0) await wanted.opened
        }
        throw mismatch
      }
      await assert.rejects(store.append(upload, late()), mismatch)
      armed = false
      assert.ok(recorded >= checkpoints)
      const after = await get(another(bucket), 'a')
      assert.deepEqual([after.offset, after.tailBytes, after.rest], [before, upload.tailBytes, upload.rest])
      await finish(another(bucket), 'a', bytes)
      await assertWhole(bucket, 'a', bytes)
    })
  }
}
