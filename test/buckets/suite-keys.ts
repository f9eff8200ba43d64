/** Cases over the keys that a `Bucket` has to take. */
import type { Bucket, ByteRange } from '../../src/objects/bucket.ts'
import { bytesOf } from '../suites/bodies.ts'
import { equal, equalBytes, ok } from '../suites/support.ts'
import { collect, expectObject, gather, listing, options, type BucketCase } from './suite-support.ts'

/** Every character that an id may have besides letters, digits and marks; and some of those from everywhere. */
const hostileKeys: readonly string[] = [
  "all !$&'()+,;=@._~- signs",
  'a+b',
  'a b/c d/e',
  'folder/with+plus & more/na=me;v=1,2@3',
  "(1)!/(2)'/$3/~4/~",
  'ünï/cödé/日本語/ไทย่/हिन्दी/𝒜𐍈/ß',
  '.dot/file',
  'a..b/c...',
  'long/' + 'ü+ '.repeat(40) + 'x',
]

export const keyCases: readonly BucketCase[] = [
  ...hostileKeys.map((key): BucketCase => ({
    title: `every call on the key ${key.length > 60 ? `${key.slice(0, 20)}… (${key.length} characters)` : key}`,
    run: ({ bucket }) => everyCall(bucket, key),
  })),
  {
    title: 'every call below a prefix of odd characters',
    run: ({ open }) => everyCall(open(`p+%2B %é"#?&<>[]{}|^\`\\*:$'()!=@,;~ü/`), "in +here ü'"),
  },
  {
    title: 'every call below a prefix of odd characters, but no percent sign and no question mark',
    run: ({ open }) => everyCall(open(`p+ é"#&<>[]{}|^\`\\*:$'()!=@,;~ü/`), "in +here ü'"),
  },
]

async function everyCall(bucket: Bucket, key: string): Promise<void> {
  const version = await bucket.put(key, bytesOf(100, 1), { ifNoneMatch: '*' }, options)
  ok(version !== null, 'put with ifNoneMatch')
  equal(await bucket.put(key, bytesOf(100, 1), { ifNoneMatch: '*' }, options), null, 'put where something is')
  ok((await bucket.put(key, bytesOf(200, 2), { ifMatch: version }, options)) !== null, 'put with ifMatch')
  await expectObject(bucket, key, bytesOf(200, 2))
  const range: ByteRange = { start: 50, end: 150 }
  equalBytes(await collect(bucket.read(key, range, options)), bytesOf(200, 2).subarray(50, 150), 'read')
  equal((await bucket.head(key, options))?.size, 200, 'size')
  equal(await listing(bucket, ''), `${key} 200`, 'listing')
  equal(await listing(bucket, key), `${key} 200`, 'listing by the whole key')
  const multipart = { key: `${key}-m`, multipartId: await bucket.createMultipart(`${key}-m`, {}, options) }
  const etag = await bucket.putPart(multipart, 1, bytesOf(300, 3), options)
  ok(etag !== null, 'putPart')
  const open = await gather(bucket.multiparts(key, options))
  equal(open.map((one) => one.key).join(), `${key}-m`, 'multiparts')
  const parts = [{ partNumber: 1, etag, size: 300 }]
  if (bucket.copyPart === undefined) {
    equal(await bucket.complete(multipart, parts, {}, options), 'completed', 'complete')
    await expectObject(bucket, `${key}-m`, bytesOf(300, 3))
  } else {
    const copied = await bucket.copyPart(multipart, 1, { key, range }, options)
    ok(copied !== null, 'copyPart')
    equal(
      await bucket.complete(multipart, [{ ...parts[0]!, etag: copied, size: 100 }], {}, options),
      'completed',
      'complete',
    )
    await expectObject(bucket, `${key}-m`, bytesOf(200, 2).slice(50, 150))
  }
  const aborted = { key: `${key}-a`, multipartId: await bucket.createMultipart(`${key}-a`, {}, options) }
  await bucket.abort(aborted, options)
  await bucket.delete(key, options)
  await bucket.delete(`${key}-m`, options)
  equal(await listing(bucket, ''), '', 'listing after delete')
}
