import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  another,
  assertWhole,
  body,
  clearLeftovers,
  code,
  data,
  failing,
  fatal,
  finish,
  get,
  isSame,
  newUpload,
  part,
  setup,
  uniformLimits,
  upload,
} from './support.ts'

const bytes = data(3 * part + 100)

for (const size of [0, 1, part - 1, part, part + 1, bytes.byteLength]) {
  test(`complete: an upload of ${size} bytes becomes an object of that size, at once or by pieces`, async () => {
    const { bucket, store } = setup()
    const source = bytes.subarray(0, size)
    await upload(store, 'once', source)
    await assertWhole(bucket, 'once', source)
    await store.create(newUpload('pieces', size))
    for (let end = 1; end < size; end += 40_000) {
      const at = await get(store, 'pieces')
      await store.append(at, body(source.subarray(at.offset, end)))
    }
    await finish(store, 'pieces', source)
    await assertWhole(bucket, 'pieces', source)
    assert.equal(bucket.open.size, 0)
  })
}

test('complete: an upload with bytes missing is refused and stays as it is', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  const after = await store.append(await get(store, 'a'), body(bytes.subarray(0, -1)))
  await assert.rejects(store.update(after, { completed: true }), code('corrupt'))
  await assert.rejects(store.update(after, { length: bytes.byteLength + 1, completed: true }), code('corrupt'))
  await store.sync(after)
  assert.equal(bucket.objects.has('a'), false)
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

for (const size of [100, part, part + 1, part + 20_000, bytes.byteLength]) {
  for (const limits of [{}, uniformLimits]) {
    test(`complete: deferred length, told with nothing left to send at ${size} bytes, equal parts: ${'uniformParts' in limits}; nothing is cut off`, async () => {
      const { bucket, store } = setup({ limits })
      await store.create(newUpload('a', null))
      const source = bytes.subarray(0, size)
      await store.append(await get(store, 'a'), body(source))
      await another(bucket).update(await get(store, 'a'), { length: size, completed: true })
      await assertWhole(bucket, 'a', source)
    })
  }
}

test('complete: length told before the end, record apart from completion, then sync and completion', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', null))
  const tail = await store.append(await get(store, 'a'), body(bytes.subarray(0, 50)))
  await store.update(tail, { length: bytes.byteLength, expiresAt: 5 })
  const whole = await store.append(await get(store, 'a'), body(bytes.subarray(50)))
  const recorded = await store.update(whole, { expiresAt: 7 })
  assert.deepEqual([recorded.offset, recorded.completed], [bytes.byteLength, false])
  await store.sync(recorded)
  assert.ok(isSame(bucket.objects.get('a')?.bytes, bytes))
  assert.equal((await get(another(bucket), 'a')).completed, false)
  const done = await store.update(recorded, { completed: true })
  assert.deepEqual([done.completed, done.expiresAt], [true, 7])
  await assertWhole(bucket, 'a', bytes)
  assert.equal(bucket.calls.get('complete'), 1)
})

test('complete: an upload of one buffer lies in the storage when append returns, and in the record after a sync', async () => {
  const { bucket, store } = setup()
  const source = bytes.subarray(0, part)
  await store.create(newUpload('a', part))
  const whole = await store.append(await get(store, 'a'), body(source))
  assert.deepEqual([whole.offset, whole.stored, whole.rest?.tail.byteLength], [part, true, 0])
  assert.ok(isSame(bucket.objects.get('a')?.bytes, source))
  await store.sync(whole)
  const seen = await get(another(bucket), 'a')
  assert.deepEqual([seen.offset, seen.stored, seen.completed], [part, true, false])
  await store.update(whole, { completed: true })
  await assertWhole(bucket, 'a', source)
  assert.equal(bucket.calls.get('put'), 4)
})

test('complete: a crash right after the only buffer was put; the client sends it again, or other bytes', async () => {
  for (const source of [bytes.subarray(0, part), data(part, 9)]) {
    const { bucket, store } = setup()
    await store.create(newUpload('a', part))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, part)))
    assert.equal((await get(another(bucket), 'a')).offset, 0)
    await finish(another(bucket), 'a', source)
    await assertWhole(bucket, 'a', source)
  }
})

test('complete: the only buffer cannot be put, or its holder has lost the lock; append fails, a second one works', async () => {
  let isBroken = true
  const { bucket, store } = setup({
    before(call, key) {
      if (isBroken && call === 'put' && key === 'a') throw fatal()
    },
  })
  await store.create(newUpload('a', part))
  const source = bytes.subarray(0, part)
  await assert.rejects(store.append(await get(store, 'a'), body(source)), /fatal/)
  isBroken = false
  const guard = () => Promise.reject(fatal('lost'))
  await assert.rejects(store.append(await get(store, 'a'), body(source), { guard }), /lost/)
  assert.equal(bucket.objects.has('a'), false)
  await finish(store, 'a', source)
  await assertWhole(bucket, 'a', source)
})

test('complete: the storage says completed, but the object is not there; not complete, then gone', async () => {
  const { bucket, store } = setup({
    after(call, key) {
      if (call === 'complete') bucket.objects.delete(key)
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  const whole = await store.append(await get(store, 'a'), body(bytes))
  await store.update(whole, { expiresAt: 1 })
  await assert.rejects(another(bucket).update(await get(store, 'a'), { completed: true }), code('corrupt'))
  assert.equal((await get(store, 'a')).completed, false)
  await assert.rejects(store.update(await get(store, 'a'), { completed: true }), code('gone'))
  assert.equal(await store.get('a'), null)
})

test('complete: the storage says completed, but the object has another size; not complete', async () => {
  const { bucket, store } = setup({
    after(call, key) {
      const object = bucket.objects.get(key)
      if (call === 'complete' && object) bucket.objects.set(key, { ...object, size: object.size - 1 })
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  const whole = await store.append(await get(store, 'a'), body(bytes))
  await assert.rejects(store.update(whole, { completed: true }), code('corrupt'))
  assert.equal((await get(store, 'a')).completed, false)
  await assert.rejects(store.update(whole, { completed: true }), code('gone'))
})

test('complete: an upload too large to be stored by one request is made of parts, however few', async () => {
  const { bucket, store } = setup({ limits: { maxPutBytes: 20_000 } })
  await upload(store, 'a', bytes.subarray(0, 20_001))
  assert.equal(bucket.calls.get('putPart'), 1)
  await assertWhole(bucket, 'a', bytes.subarray(0, 20_001))
})

test('lifecycle: the multipart vanishes before completion; gone, never complete', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  const whole = await store.append(await get(store, 'a'), body(bytes))
  const recorded = await store.update(whole, { expiresAt: 1 })
  bucket.open.clear()
  await assert.rejects(store.update(recorded, { completed: true }), code('gone'))
  assert.equal(await store.get('a'), null)
  assert.equal(bucket.objects.size, 0)
})

test('lifecycle: the multipart vanishes between or within requests; the next bytes are answered gone', async () => {
  for (const within of [false, true]) {
    let parts = 0
    const { bucket, store } = setup({
      async before(call) {
        if (call === 'putPart' && ++parts > 2 && within) bucket.open.clear()
        // Every part on its way finds out before the record is gone.
        if (call === 'delete') await new Promise((resolve) => setTimeout(resolve, 5))
      },
    })
    await store.create(newUpload('a', bytes.byteLength))
    await store.append(await get(store, 'a'), body(bytes.subarray(0, part)))
    if (!within) bucket.open.clear()
    const next = another(bucket)
    await assert.rejects(next.append(await get(next, 'a'), body(bytes.subarray(part))), code('gone'))
    assert.equal(await next.get('a'), null)
  }
})

for (const deferred of [false, true]) {
  for (const left of [1, 20_000, 2 * part]) {
    test(`completed, but the record is lost: recognised with ${left} bytes sent again, deferred length: ${deferred}`, async () => {
      let armed = false
      const { bucket, store } = setup({
        before(call) {
          if (armed && call === 'put') throw fatal()
        },
      })
      await store.create(newUpload('a', deferred ? null : bytes.byteLength))
      await store.append(await get(store, 'a'), body(bytes.subarray(0, -left)))
      const whole = await store.append(await get(store, 'a'), body(bytes.subarray(-left)))
      const length = deferred ? { length: bytes.byteLength } : {}
      armed = true
      await assert.rejects(store.update(whole, { ...length, completed: true }), code('unavailable'))
      armed = false
      const object = bucket.objects.get('a')
      assert.ok(isSame(object?.bytes, bytes))
      await finish(another(bucket), 'a', bytes)
      assert.equal(bucket.objects.get('a'), object)
      await assertWhole(bucket, 'a', bytes)
    })
  }
}

test('completed with a length told only then, record lost; the bytes sent again find the object, which stays', async () => {
  let armed = false
  const { bucket, store } = setup({
    before(call) {
      if (armed && call === 'put') throw fatal()
    },
  })
  await store.create(newUpload('a', null))
  await store.append(await get(store, 'a'), body(bytes.subarray(0, part)))
  const early = await get(store, 'a')
  const { version, bytes: record, ...rest } = bucket.objects.get('a.info') ?? assert.fail()
  const whole = await store.append(early, body(bytes.subarray(part)))
  armed = true
  await assert.rejects(store.update(whole, { length: bytes.byteLength, completed: true }))
  armed = false
  // As a process that died before it recorded its last bytes leaves it.
  bucket.objects.set('a.info', { ...rest, version, bytes: record })
  const next = another(bucket)
  await assert.rejects(next.append(await get(next, 'a'), body(bytes.subarray(part))), code('lock_lost'))
  const found = await get(next, 'a')
  assert.deepEqual([found.offset, found.length], [bytes.byteLength, bytes.byteLength])
  await finish(next, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})

test('complete: the answer is lost, and asked again the multipart is not there; recognised within the request', async () => {
  let lost = 1
  const { bucket, store } = setup({
    after(call) {
      if (call === 'complete' && lost-- > 0) throw Object.assign(fatal(), { transient: true })
    },
  })
  await store.create(newUpload('a', bytes.byteLength))
  await store.update(await store.append(await get(store, 'a'), body(bytes)), { completed: true })
  assert.equal(bucket.calls.get('complete'), 2)
  await assertWhole(bucket, 'a', bytes)
})

test('complete: done a second time, nothing is sent', async () => {
  const { bucket, store } = setup()
  const done = await upload(store, 'a', bytes)
  bucket.calls.clear()
  await store.update(done, { completed: true })
  assert.equal(bucket.calls.get('complete'), undefined)
  await clearLeftovers(store)
  await assertWhole(bucket, 'a', bytes)
})

test('append to an upload whose object is there though it is not completed: nothing changes, a body that throws does so', async () => {
  const { bucket, store } = setup()
  await store.create(newUpload('a', bytes.byteLength))
  const whole = await store.append(await get(store, 'a'), body(bytes))
  await store.sync(await store.update(whole, { expiresAt: 5 }))
  const record = bucket.objects.get('a.info')
  for (const atomic of [false, true]) {
    const upload = await get(another(bucket), 'a')
    assert.equal((await store.append(upload, body(bytes.subarray(0, 0)), { atomic })).offset, bytes.byteLength)
    await assert.rejects(store.append(upload, failing(bytes.subarray(0, 0), fatal('wrong')), { atomic }), /wrong/)
    await assert.rejects(store.append(upload, body(bytes), { atomic }), code('corrupt'))
    assert.equal(bucket.objects.get('a.info'), record)
  }
  await finish(store, 'a', bytes)
  await assertWhole(bucket, 'a', bytes)
})
