/** Uploads that are removed, listed, read, and what lies about. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  another,
  body,
  clearLeftovers,
  code,
  data,
  fatal,
  finish,
  get,
  isSame,
  newUpload,
  part,
  all,
  passing,
  setup,
  upload,
} from './support.ts'

const bytes = data(3 * part + 100)
const states: Record<string, number> = { empty: 0, 'a tail': 100, parts: part, 'parts and tail': 2 * part + 9 }

for (const [title, size] of Object.entries(states)) {
  for (const when of ['before', 'after'] as const) {
    test(`terminate ${title}: it fails ${when} each of its calls; done again, nothing is left`, async () => {
      for (let at = 1; ; at++) {
        let calls = 0
        let armed = false
        const { bucket, store } = setup({
          [when]: () => {
            if (armed && ++calls === at) throw fatal()
          },
        })
        const created = await store.create(newUpload('a', bytes.byteLength))
        if (size > 0) await store.append(created, body(bytes.subarray(0, size)))
        const found = await get(store, 'a')
        armed = true
        const failed = await store.terminate(found).then(
          () => false,
          () => true,
        )
        armed = false
        const next = another(bucket)
        const again = await next.get('a')
        if (again !== null) await next.terminate(again)
        await next.terminate(found)
        assert.equal(await next.get('a'), null)
        assert.deepEqual([bucket.objects.size, bucket.open.size], [0, 0])
        if (!failed) break
      }
    })
  }
}

test('terminate: a complete upload, and one whose object is there though its record does not say so', async () => {
  let broken = false
  const { bucket, store } = setup({
    before(call, key) {
      if (broken && call === 'put' && key.endsWith('.info')) throw fatal()
    },
  })
  await upload(store, 'a', bytes)
  await store.terminate(await get(store, 'a'))
  await store.create(newUpload('b', bytes.byteLength))
  const whole = await store.append(await get(store, 'b'), body(bytes))
  broken = true
  await assert.rejects(store.update(whole, { completed: true }))
  broken = false
  await another(bucket).terminate(await get(store, 'b'))
  assert.deepEqual([bucket.objects.size, bucket.open.size], [0, 0])
})

test('terminate: half removed, an upload that is gone on with is gone; it never loses bytes silently', async () => {
  let broken = false
  const { bucket, store } = setup({
    before(call) {
      if (broken && call === 'delete') throw fatal()
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, 2 * part)))
  broken = true
  await assert.rejects(store.terminate(await get(store, 'a')))
  broken = false
  await assert.rejects(finish(another(bucket), 'a', bytes), code('gone'))
})

test('leftovers: multiparts of no record, or of another one, go; those of an upload and the young stay; foreign keys too', async () => {
  const { bucket, store } = setup()
  const signal = new AbortController().signal
  await store.create(newUpload('a', bytes.byteLength))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, part)))
  const { multipartId } = await get(store, 'a')
  await bucket.createMultipart('a', {}, { signal })
  await bucket.createMultipart('unknown', {}, { signal })
  await bucket.createMultipart('not an id/../.x', {}, { signal })
  assert.equal(await clearLeftovers(another(bucket, { leftoverAgeMs: 60_000 })), 0)
  assert.equal(await clearLeftovers(store), 2)
  assert.deepEqual([...bucket.open.values()].map(({ key }) => key).sort(), ['a', 'not an id/../.x'])
  assert.ok(multipartId !== null && bucket.open.has(multipartId))
  await finish(store, 'a', bytes)
})

test('leftovers: looked at before an append, removed after it; what the append recorded meanwhile stays', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, part)))
  const record = bucket.objects.get('a.info')
  for await (const leftover of store.leftovers()) {
    assert.equal(leftover.id, 'a')
    assert.equal(await leftover.remove(), false)
  }
  bucket.objects.delete('a.info')
  const found = await all(store.leftovers())
  assert.ok(record)
  bucket.objects.set('a.info', record)
  assert.deepEqual(await Promise.all(found.map((leftover) => leftover.remove())), [false])
})

test('incomplete: completed uploads are told by the listing alone; unreadable records and foreign objects are passed over', async () => {
  const { bucket, store } = setup({}, { infoPrefix: 'info/' })
  for (let n = 0; n < 30; n++) {
    await upload(store, `done${n}`, bytes.subarray(0, n), {
      metadata: `k ${Buffer.from('x'.repeat(n)).toString('base64')}`,
    })
    await store.create(newUpload(`open${n}`, n + 1))
  }
  bucket.objects.set('info/broken.info', { bytes: bytes.slice(0, 10), size: 10, version: 'x', headers: {} })
  bucket.objects.set('info/other', { bytes: bytes.slice(0, 10), size: 10, version: 'x', headers: {} })
  bucket.calls.clear()
  const ids: string[] = []
  for await (const { id, completed } of store.incomplete()) ids.push(`${id} ${completed}`)
  assert.deepEqual(ids.sort(), Array.from({ length: 30 }, (_, n) => `open${n} false`).sort())
  assert.equal(bucket.calls.get('get'), 31)
})

test('incomplete, leftovers and finals: a listing that fails in passing is done again; one that fails for good is an error', async () => {
  let failures = 2
  let error = passing()
  const { store } = setup({
    before(call) {
      if ((call === 'list' || call === 'multiparts') && failures-- > 0) throw error
    },
  })
  await store.create(newUpload('a', 5))
  assert.equal((await all(store.incomplete())).length, 1)
  failures = 2
  assert.equal(await clearLeftovers(store), 0)
  failures = 2
  assert.deepEqual(await store.finalsOf('a'), [])
  failures = 1
  error = fatal()
  await assert.rejects(all(store.incomplete()), code('unavailable'))
})

test('read: any range of a complete upload; a stream that breaks goes on where it broke', async () => {
  const { bucket, store } = setup()
  const done = await upload(store, 'a', bytes)
  const read = bucket.read.bind(bucket)
  let breaks = 0
  bucket.read = async function* (key, range, options) {
    let sent = 0
    for await (const chunk of read(key, range, options)) {
      const rest = chunk.subarray(0, 50_000)
      sent += rest.byteLength
      yield rest
      if (rest.byteLength === chunk.byteLength && sent <= 50_000) continue
      breaks++
      throw passing()
    }
  }
  for (const [start, end] of [
    [0, bytes.byteLength],
    [0, 1],
    [part - 1, 2 * part + 1],
    [bytes.byteLength - 1, bytes.byteLength],
  ] as const) {
    const chunks = await all(store.read(done, { start, end }))
    assert.ok(isSame(Buffer.concat(chunks), bytes.subarray(start, end)))
  }
  assert.ok(breaks > 0)
  bucket.objects.delete('a')
  await assert.rejects(all(store.read(done, { start: 0, end: 5 })), code('corrupt'))
})

test('read: an upload that is not complete gives its tail, or says that its parts cannot be read', async () => {
  const { store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, 100)))
  const look = await store.get('a')
  assert.ok(look)
  assert.ok(isSame(Buffer.concat(await all(store.read(look, { start: 10, end: 90 }))), bytes.subarray(10, 90)))
  await store.append(await get(store, 'a'), body(bytes.subarray(100, 2 * part)))
  await assert.rejects(all(store.read(await get(store, 'a'), { start: 0, end: 5 })), code('unavailable'))
})
