import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatRecord, isCompletedSize, nothing, type ObjectUpload, parseRecord } from '../../src/objects/record.ts'
import { another, body, code, data, get, newUpload, part, setup, upload } from './support.ts'

const plain: ObjectUpload = {
  ...newUpload('a', 1000),
  offset: 0,
  completed: false,
  version: 'v',
  revision: 'r',
  multipartId: null,
  nextPart: 1,
  surplus: [],
  stored: false,
  tailBytes: 0,
  rest: nothing,
}

const parse = (bytes: Uint8Array, whole = true) =>
  parseRecord(bytes, { size: bytes.byteLength + (whole ? 0 : 1), version: 'v' }, 'a.info')

test('record: read as it was written, whatever the fields and the tail; the size tells whether it is complete', () => {
  const partials = { type: 'final' as const, value: 'final;a b', partials: ['a', 'b', 'a'] }
  for (let n = 0; n < 40; n++) {
    for (const stored of [false, true]) {
      for (const concat of [null, { type: 'partial' as const }, partials]) {
        const tail = stored ? nothing.tail : data(n % 7).fill(10)
        const parts = stored
          ? []
          : Array.from({ length: n % 5 }, (_, i) => ({
              number: (i + 1) * (1 + (n % 3)),
              size: i + 1,
              etag: `"é\n${i}`,
            }))
        const offset = stored ? 1000 : parts.reduce((sum, { size }) => sum + size, tail.byteLength)
        const metadata = n === 0 ? null : 'k'.repeat(n)
        const record: ObjectUpload = {
          ...plain,
          offset,
          stored,
          completed: stored && n % 2 === 0,
          concat,
          metadata,
          expiresAt: n || null,
          multipartId: stored ? null : `m ${n}`,
          surplus: stored
            ? []
            : Array.from({ length: n % 3 }, (_, i) => ({ number: 1 + 2 * i, size: 9, etag: `"${i}"` })),
          tailBytes: tail.byteLength,
          rest: { parts, tail },
        }
        const bytes = formatRecord(record, { parts, tail })
        assert.deepEqual(parse(bytes), record)
        assert.equal(isCompletedSize(bytes.byteLength), record.completed)
        // The first line is enough for a look, anything less is not.
        const head = bytes.indexOf(10) + 1
        assert.deepEqual(parse(bytes.subarray(0, head), false), { ...record, rest: null })
        assert.equal(parse(bytes.subarray(0, head - 1), false), null)
      }
    }
  }
})

test('record: cut short at any byte, or with a byte too many, it is corrupt', () => {
  const rest = { parts: [{ number: 1, size: 100, etag: 'x' }], tail: data(7) }
  const bytes = formatRecord({ ...plain, offset: 107, tailBytes: 7, multipartId: 'm' }, rest)
  for (let n = 0; n < bytes.byteLength; n++) assert.throws(() => parse(bytes.subarray(0, n)), code('corrupt'), `${n}`)
  assert.throws(() => parse(Buffer.concat([bytes, Buffer.of(0)])), code('corrupt'))
})

test('record: a field that is missing, of another kind or at odds with the others is corrupt, and the error names it', () => {
  const good = JSON.parse(new TextDecoder().decode(formatRecord(plain, nothing)).split('\n')[0] ?? '') as object
  const lines = (head: unknown, parts: unknown = []) =>
    new TextEncoder().encode(`${JSON.stringify(head)}\n${JSON.stringify(parts)}\n`)
  assert.ok(parse(lines(good)))
  for (const field of Object.keys(good)) {
    for (const wrong of [undefined, field === 'attributes' ? { a: 1 } : {}, [], -1, 1.5, 2 ** 53]) {
      const pattern = new RegExp(field === 'fileloft' ? 'format version' : field)
      assert.throws(() => parse(lines({ ...good, [field]: wrong })), pattern, `${field} ${JSON.stringify(wrong)}`)
    }
  }
  const odd: [object, unknown?][] = [
    [{ offset: 1001 }],
    [{ offset: 1 }],
    [{ completed: true }],
    [{ stored: true }],
    [{ fileloft: 2 }],
    [{ surplus: 5 }],
    [{ surplus: [[5, 'x'], [5]] }],
    [
      {
        surplus: [
          [5, 'x', 3],
          [5, 'x', 2],
        ],
      },
    ],
    [{ concat: { type: 'other' } }],
    [{ concat: { type: 'final', value: 'x', partials: [1] } }],
    [{ offset: 5 }, [[5]]],
    [{ offset: 5 }, [['5', 'x']]],
    [{ offset: 5 }, [[-5, 'x']]],
    [{}, {}],
    [{}, 'x'.repeat(1000)],
  ]
  for (const [change, parts] of odd) assert.throws(() => parse(lines({ ...good, ...change }, parts)), code('corrupt'))
  for (const head of [null, [], 'x', 5]) assert.throws(() => parse(lines(head)), code('corrupt'))
  assert.throws(() => parse(Uint8Array.of(0xff, 0xfe, 10, 10)), code('corrupt'))
})

test('get: one request, and not the tail; for an append one request, with the tail', async () => {
  const { bucket, store } = setup({ limits: { minPartBytes: 4 * part } }, { partSize: 4 * part })
  await store.create(newUpload('a', 8 * part))
  await store.append(await get(store, 'a'), body(data(3 * part)))
  bucket.calls.clear()
  const look = await another(bucket).get('a')
  assert.deepEqual([look?.offset, look?.rest, look?.tailBytes], [3 * part, null, 3 * part])
  assert.deepEqual([...bucket.calls], [['get', 1]])
  const whole = await get(another(bucket), 'a')
  assert.equal(whole.rest?.tail.byteLength, 3 * part)
  assert.deepEqual([...bucket.calls], [['get', 2]])
})

test('get: metadata longer than what is read for a look is read all the same', async () => {
  const { bucket, store } = setup()
  const metadata = `k ${Buffer.from('x'.repeat(100_000)).toString('base64')}`
  await store.create(newUpload('a', 1000, { metadata }))
  await store.append(await get(store, 'a'), body(data(500)))
  const found = await another(bucket).get('a')
  assert.deepEqual([found?.metadata, found?.offset], [metadata, 500])
})

test('get: a record that names another upload is not that of this one', async () => {
  const { bucket, store } = setup()
  await upload(store, 'a', data(5))
  const record = bucket.objects.get('a.info')
  assert.ok(record)
  bucket.objects.set('b.info', record)
  assert.equal(await store.get('b'), null)
})

test('append to what was read for a look, changed meanwhile: the lock is lost, and nothing is sent', async () => {
  const { bucket, store } = setup({ limits: { minPartBytes: 4 * part } }, { partSize: 4 * part })
  await store.create(newUpload('a', 16 * part))
  await store.append(await get(store, 'a'), body(data(3 * part)))
  const look = await store.get('a')
  assert.ok(look?.rest === null)
  assert.equal((await store.append(look, body(data(6)))).offset, 3 * part + 6)
  await assert.rejects(store.append(look, body(data(8 * part))), code('lock_lost'))
  assert.equal(bucket.calls.get('putPart'), undefined)
})
