import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ObjectUpload } from '../../src/objects/record.ts'
import {
  another,
  assertWhole,
  body,
  code,
  data,
  fatal,
  finish,
  gate,
  get,
  isSame,
  kib,
  newUpload,
  part,
  passing,
  setup,
} from './support.ts'

const bytes = data(4 * part)

for (const failed of [1, 2, 3, 4]) {
  test(`append: part ${failed} of 4 in flight fails for good; the offset is that of the parts before it`, async () => {
    const others = gate()
    let landed = 0
    const { bucket, store } = setup({
      async before(call, _, partNumber) {
        if (call !== 'putPart' || partNumber !== failed) return
        await others.opened
        throw fatal()
      },
      after(call) {
        if (call === 'putPart' && ++landed === 3) others.open()
      },
    })
    const created = await store.create(newUpload('a', bytes.byteLength))
    await assert.rejects(store.append(created, body(bytes)), code('unavailable'))
    const second = another(bucket)
    assert.equal((await get(second, 'a')).offset, (failed - 1) * part)
    assert.equal(landed, 3)
  })
}

test('append: after a gap the next request goes on there; the object is the same byte for byte', async () => {
  let failures = 0
  const { bucket, store } = setup({
    before(call, _, partNumber) {
      if (call === 'putPart' && partNumber === 2 && failures++ === 0) throw fatal()
    },
  })
  const created = await store.create(newUpload('a', bytes.byteLength))
  await assert.rejects(store.append(created, body(bytes)))
  const upload = await get(store, 'a')
  assert.equal(upload.offset, part)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('append: calls that fail in passing are repeated within the request', async () => {
  const failed = new Map<string, number>()
  const fault = (call: string, key: string, partNumber: number) => {
    const name = `${call} ${key} ${partNumber}`
    failed.set(name, (failed.get(name) ?? 0) + 1)
    if ((failed.get(name) ?? 0) <= 3) throw passing()
  }
  const { bucket, store } = setup({ before: fault })
  await store.create(newUpload('a', bytes.byteLength))
  const upload = await get(store, 'a')
  await store.update(await store.append(upload, body(bytes)), { completed: true })
  assert.equal(failed.get('putPart a 2'), 4)
  await assertWhole(bucket, 'a', bytes)
})

test('append: six failures in passing of one call end the request with the error', async () => {
  let calls = 0
  const { store } = setup({
    before(call) {
      if (call !== 'putPart') return
      calls++
      throw passing()
    },
  })
  const created = await store.create(newUpload('a', bytes.byteLength))
  await assert.rejects(store.append(created, body(bytes.subarray(0, part))), code('unavailable'))
  assert.equal(calls, 6)
})

test('append: a call that stands still is ended and made again', async () => {
  let stalls = 1
  const { bucket, store } = setup({}, { retry: { delayMs: 1, timeoutMs: 20 } })
  const putPart = bucket.putPart.bind(bucket)
  bucket.putPart = async (multipart, n, chunk, { signal }) => {
    if (stalls-- > 0) {
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))))
    }
    return putPart(multipart, n, chunk, { signal })
  }
  await store.create(newUpload('a', part + 1))
  await finish(store, 'a', bytes.subarray(0, part + 1))
  assert.equal(stalls, -2)
  await assertWhole(bucket, 'a', bytes.subarray(0, part + 1))
})

test('append: a body that is cut keeps every byte, whatever its size', async () => {
  for (const size of [1, 15 * kib, 16 * kib, 17 * kib, part - 1, part, part + 1, 2 * part + 20 * kib]) {
    const { bucket, store } = setup()
    const created = await store.create(newUpload('a', bytes.byteLength))
    const after = await store.append(created, body(bytes.subarray(0, size)))
    assert.equal(after.offset, size)
    assert.equal((await get(another(bucket), 'a')).offset, size)
    await finish(another(bucket), 'a', bytes)
    await assertWhole(bucket, 'a', bytes)
  }
})

test('append: a storage that fails while the body stands still ends the request and lets go of the body', async () => {
  const { store } = setup({
    before(call) {
      if (call === 'putPart') throw fatal()
    },
  })
  const returned = gate()
  const created = await store.create(newUpload('a', bytes.byteLength))
  let sent = false
  const stuck: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        if (sent) return new Promise(() => {})
        sent = true
        return Promise.resolve({ done: false, value: bytes.subarray(0, part) })
      },
      return: () => {
        returned.open()
        return Promise.resolve({ done: true, value: undefined })
      },
    }),
  }
  await assert.rejects(store.append(created, stuck), code('unavailable'))
  await returned.opened
})

test('append: a lock lost before a part or a record means that nothing more is written', async () => {
  for (const allowed of [0, 1, 2]) {
    const { bucket, store } = setup()
    const created = await store.create(newUpload('a', bytes.byteLength))
    let guards = 0
    let writes = 0
    const lost = fatal('the lock is lost')
    const guard = () => {
      if (++guards > allowed) {
        writes = [...bucket.calls].reduce((sum, [call, n]) => sum + (call === 'putPart' || call === 'put' ? n : 0), 0)
        throw lost
      }
    }
    await assert.rejects(store.append(created, body(bytes.subarray(0, 2 * part + 5)), { guard }), lost)
    const after = (bucket.calls.get('putPart') ?? 0) + (bucket.calls.get('put') ?? 0)
    assert.equal(after, writes)
    assert.equal((await get(store, 'a')).offset, 0)
  }
})

test('append: progress is told with every offset that became durable, never backwards', async () => {
  const { store } = setup()
  const told: number[] = []
  let upload: ObjectUpload = await store.create(newUpload('a', bytes.byteLength))
  for (const end of [10, 50_000, 3 * part, bytes.byteLength]) {
    upload = await store.append(upload, body(bytes.subarray(upload.offset, end)), { onProgress: (n) => told.push(n) })
  }
  assert.deepEqual(told, [10, 50_000, 3 * part, bytes.byteLength])
})

test('append: a body longer than the upload is refused, as far as its own chunk; nothing of that chunk counts', async () => {
  for (const length of [0, 1000, 2 * part, 2 * part + 5]) {
    const { store } = setup()
    const created = await store.create(newUpload('a', length))
    await assert.rejects(store.append(created, body(bytes.subarray(0, length + 1), 1000)), code('corrupt'))
    assert.ok((await get(store, 'a')).offset <= length)
  }
})

test('append: no more parts than allowed are on their way at once', async () => {
  for (const partConcurrency of [1, 3]) {
    let inFlight = 0
    let most = 0
    const full = gate()
    const { bucket, store } = setup(
      {
        async before(call) {
          if (call !== 'putPart') return
          most = Math.max(most, ++inFlight)
          if (inFlight === partConcurrency) full.open()
          await full.opened
          await new Promise(setImmediate)
        },
        after(call) {
          if (call === 'putPart') inFlight--
        },
      },
      { partConcurrency },
    )
    const long = data(8 * part)
    await store.create(newUpload('a', long.byteLength))
    await finish(store, 'a', long)
    assert.equal(most, partConcurrency)
    assert.ok(isSame(bucket.objects.get('a')?.bytes, long))
  }
})
