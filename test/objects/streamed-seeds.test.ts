/** Parts that are on their way while they are filled, with cuts, failures and others beside, by seeds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  another,
  assertWhole,
  body,
  data,
  get,
  newUpload,
  type ObjectStore,
  part,
  passing,
  random,
  setup,
} from './support.ts'

const bytes = data(40 * part + 100)

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`bodies of any size, cut, failing and going on, beside others (seed ${seed}): identical, offsets never go back`, async () => {
    const next = random(seed)
    const { bucket, store } = setup(
      {
        async streams() {
          if (next() < 0.05) throw passing()
          for (let n = next() * 4; n > 1; n--) await new Promise(setImmediate)
        },
        before(call) {
          if (call === 'putPart' && next() < 0.05) throw passing()
        },
        after(call) {
          if (call === 'putPart' && next() < 0.05) throw passing()
        },
      },
      { partConcurrency: 1 + Math.floor(next() * 4), retry: { attempts: 10, delayMs: 1 } },
    )
    await store.create(newUpload('a', bytes.byteLength))
    let offset = 0
    while (offset < bytes.byteLength) {
      const upload = await get(next() < 0.5 ? store : another(bucket), 'a')
      assert.ok(upload.offset >= offset, `${upload.offset} after ${offset}`)
      const cut = Math.min(bytes.byteLength, upload.offset + Math.floor(next() * 20 * part))
      const chunk = 1 + Math.floor(next() * 2 * part)
      const beside = next() < 0.3 ? beginOther(store, next) : null
      const after = await store.append(upload, body(bytes.subarray(upload.offset, cut), chunk), {
        bounded: true,
        contentLength: bytes.byteLength - upload.offset,
        atomic: next() < 0.2,
      })
      await beside
      offset = after.offset
      assert.equal(offset, cut)
      if (offset === bytes.byteLength) await store.update(after, { completed: true })
    }
    await assertWhole(bucket, 'a', bytes)
  })
}

async function beginOther(store: ObjectStore, next: () => number): Promise<void> {
  const id = `o${Math.floor(next() * 1e9)}`
  const upload = await store.create(newUpload(id, 2 * part))
  await store.append(upload, body(bytes.subarray(0, part), 20_000), { bounded: true, contentLength: part })
  await store.terminate(await get(store, id))
}
