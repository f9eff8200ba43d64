/** A process goes on from the record that it wrote last itself: what that saves. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buckets, type Answer, replica, callsOf, planned } from './recent-support.ts'
import { simulatedBucket } from './simulated-bucket.ts'
import { another, body, collected, data, gate, get, isSame, kib, part, smallLimits } from './support.ts'

describe('requests to the storage', () => {
  for (const [kind, make] of Object.entries(buckets)) {
    test(`${kind}: PATCHes of a part each, at one server: a part and a record; the last one makes sure of its record`, async () => {
      const bucket = make()
      const one = replica(bucket)
      const bytes = data(5 * part)
      await one.post(bytes.byteLength)
      callsOf(bucket)
      for (let n = 0; n < 4; n++) {
        assert.equal((await one.patch(n * part, bytes.subarray(n * part, (n + 1) * part))).status, 204)
        assert.deepEqual(callsOf(bucket), { ...(n === 0 && { createMultipart: 1 }), putPart: 1, put: 1 })
      }
      assert.equal((await one.patch(4 * part, bytes.subarray(4 * part))).status, 204)
      const { head, ...others } = callsOf(bucket)
      // Where the size is not certain that is looked at, too.
      assert.equal(head, bucket.limits.completesExactly ? 1 : 2)
      assert.deepEqual(others, { putPart: 1, complete: 1, put: bucket.limits.completesExactly ? 2 : 1 })
      assert.ok(isSame(bucket.objects.get('a')?.bytes, bytes))
    })

    test(`${kind}: PATCHes of less than a part, at one server: a record each, and no tail is read again`, async () => {
      const bucket = make()
      const one = replica(bucket)
      const bytes = data(16 * kib)
      await one.post(bytes.byteLength)
      callsOf(bucket)
      for (let n = 0; n < 15; n++) {
        assert.equal((await one.patch(n * kib, bytes.subarray(n * kib, (n + 1) * kib))).status, 204)
        const { put, get: gets, head } = callsOf(bucket)
        assert.deepEqual([put, gets, head], [1, undefined, undefined])
      }
      assert.equal((await one.patch(15 * kib, bytes.subarray(15 * kib))).status, 204)
      assert.ok(isSame(bucket.objects.get('a')?.bytes, bytes))
    })
  }

  test('the last PATCH: the record is asked about while the part is on its way', async () => {
    const asked = gate()
    const bucket = simulatedBucket({
      limits: smallLimits,
      async before(call, key) {
        if (call === 'head' && key === 'a.info') asked.open()
        if (call === 'putPart' && armed) await asked.opened
      },
    })
    let armed = false
    const one = replica(bucket)
    await one.post(2 * part)
    await one.patch(0, data(part))
    armed = true
    assert.equal((await one.patch(part, data(part))).status, 204)
  })

  test('a HEAD between two PATCHes: the second one reads nothing', async () => {
    const bucket = simulatedBucket({ limits: smallLimits })
    const one = replica(bucket)
    await one.post(100)
    await one.patch(0, data(10))
    assert.deepEqual(await one.head(), { status: 200, offset: 10 })
    bucket.calls.clear()
    await one.patch(10, data(10))
    assert.deepEqual(callsOf(bucket), { put: 1 })
  })

  test('a PATCH at another offset, one that tells the length, an empty one: the record is read', async () => {
    const bucket = simulatedBucket({ limits: smallLimits })
    const one = replica(bucket)
    await one.post(null)
    const reads = async (answer: Promise<Answer>, status: number) => {
      bucket.calls.clear()
      assert.equal((await answer).status, status)
      assert.ok((bucket.calls.get('get') ?? 0) >= 1, 'nothing was read')
    }
    await one.patch(0, data(10))
    await reads(one.patch(9, data(10)), 409)
    await one.patch(10, data(10))
    await reads(one.patch(20, data(10), { 'Upload-Length': '40' }), 204)
    await reads(one.patch(30, data(0), { 'Content-Length': '0' }), 204)
    await reads(one.head(), 200)
  })

  test('a PATCH without a byte, of no told size: it is made sure that the upload still is what it was', async () => {
    const bucket = simulatedBucket({ limits: smallLimits })
    const [one, two] = [replica(bucket), replica(bucket)]
    await one.post(100)
    await one.patch(0, data(10))
    assert.deepEqual(await one.patch(10, data(0)), { status: 204, offset: 10 })
    await two.remove()
    assert.equal((await one.patch(10, data(0))).status, 404)
  })

  test('what is remembered: tails no more than there is memory for, the oldest go first', async () => {
    const bucket = simulatedBucket({ limits: { ...smallLimits, minPartBytes: part } })
    // A tenth of it is for tails.
    const store = another(bucket, { bufferBudget: 20 * part })
    const tail = data(part - 4000)
    for (const id of ['a', 'b', 'c', 'd']) {
      await store.create({ ...planned, id })
      await store.append(await get(store, id), body(tail))
    }
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((id) => store.recall(id)?.offset),
      [undefined, undefined, tail.byteLength, tail.byteLength],
    )
    assert.equal(store.recall('d'), null, 'it is handed out once')
  })

  test('what is remembered: for a while, and its memory goes after that though nobody comes', async (context) => {
    context.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
    const bucket = simulatedBucket({ limits: smallLimits })
    const store = another(bucket)
    const create = async (id: string) => void (await store.create({ ...planned, id }))
    await create('a')
    context.mock.timers.tick(59_000)
    assert.equal(store.recall('a')?.offset, 0)
    await create('b')
    context.mock.timers.tick(60_000)
    assert.equal(store.recall('b'), null)
    const held = new WeakRef((await store.append(await get(store, 'a'), body(data(9000)))).rest?.tail ?? {})
    context.mock.timers.tick(120_000)
    context.mock.timers.reset()
    await collected(() => held.deref() === undefined)
  })

  test('what is remembered: not of an upload that is whole, removed, final, or failed', async () => {
    const bucket = simulatedBucket({ limits: smallLimits })
    const store = another(bucket)
    await store.create({ ...planned, length: 10 })
    const whole = await store.append(await get(store, 'a'), body(data(10)))
    assert.equal(store.recall('a'), null)
    await store.update(whole, { completed: true })
    assert.equal(store.recall('a'), null)
    await store.terminate(whole)
    await store.create({ ...planned, length: 10 })
    await store.terminate(await get(store, 'a'))
    assert.equal(store.recall('a'), null)
    await store.create({ ...planned, concat: { type: 'final', value: 'final;/files/b', partials: ['b'] } })
    assert.equal(store.recall('a'), null)
    await store.create({ ...planned, id: 'c' })
    const failing = (async function* () {
      yield data(5)
      throw new Error('too long')
    })()
    await assert.rejects(store.append(await get(store, 'c'), failing))
    assert.equal(store.recall('c'), null)
  })

  test('what is remembered: a look that finds another record, or none, makes it forget', async () => {
    const bucket = simulatedBucket({ limits: smallLimits })
    const [store, other] = [another(bucket), another(bucket)]
    await store.create(planned)
    await store.get('a')
    await other.append(await get(other, 'a'), body(data(5)))
    await store.get('a')
    assert.equal(store.recall('a'), null)
    await store.append(await get(store, 'a'), body(data(5)))
    await other.terminate(await get(other, 'a'))
    await store.get('a')
    assert.equal(store.recall('a'), null)
  })
})
