/** What R2 does in ways of its own. */
import type { Part } from '../../src/objects/bucket.ts'
import { bytesOf } from '../suites/bodies.ts'
import { equal, ok } from '../suites/support.ts'
import { expectObject, failure, gather, options, put, type BucketCase } from './suite-support.ts'

const mib = 1 << 20

export const r2Cases: readonly BucketCase[] = [
  {
    title: 'complete with parts of different sizes: refused, for good, with the code of R2',
    run: ({ bucket }) => refused(bucket, [6 * mib, 5 * mib, 10], /\(10048\)/),
  },
  {
    title: 'complete with a last part larger than the others: refused, for good, with the code of R2',
    run: ({ bucket }) => refused(bucket, [5 * mib, 6 * mib], /\(10048\)/),
  },
  {
    title: 'complete with a part below 5 MiB before the last: refused, for good, with the code of R2',
    run: ({ bucket }) => refused(bucket, [5 * mib - 1, 10], /\(10011\)/),
  },
  {
    title: 'putPart aborted on the way: the part does not arrive later, in place of one that did',
    async run({ bucket }) {
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const [bytes, others] = [bytesOf(5 * mib, 1), bytesOf(16 * mib, 2)]
      const etag = await bucket.putPart(multipart, 1, bytes, options)
      ok(etag !== null, 'a name')
      const controller = new AbortController()
      const cut = failure(bucket.putPart(multipart, 1, others, { signal: controller.signal }))
      controller.abort()
      await cut
      // Takes as long as that would have taken.
      await bucket.putPart(multipart, 2, others, options)
      const parts = [{ partNumber: 1, etag, size: bytes.length }]
      equal(await bucket.complete(multipart, parts, {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytes)
    },
  },
  {
    title: 'read of 2 MiB: in pieces of 256 KiB, not in those of 4 KiB that the runtime prefers',
    async run({ bucket }) {
      await put(bucket, 'key', bytesOf(2 * mib))
      const pieces = await gather(bucket.read('key', { start: 0, end: 2 * mib }, options))
      equal(
        pieces.map(({ length }) => length).join(),
        Array(8)
          .fill(256 * 1024)
          .join(),
        'pieces',
      )
    },
  },
]

async function refused(
  bucket: Parameters<BucketCase['run']>[0]['bucket'],
  sizes: number[],
  code: RegExp,
): Promise<void> {
  const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
  const parts: Part[] = []
  for (const [index, size] of sizes.entries()) {
    const etag = await bucket.putPart(multipart, index + 1, bytesOf(size, index), options)
    ok(etag !== null, 'a name')
    parts.push({ partNumber: index + 1, etag, size })
  }
  const error = await failure(bucket.complete(multipart, parts, {}, options))
  equal(`${error.code} ${error.transient}`, 'unavailable false', error.message)
  ok(code.test(error.message), error.message)
  equal(await bucket.head('key', options), null, 'object')
  await bucket.abort(multipart, options)
}
