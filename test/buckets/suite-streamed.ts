/** Cases over parts that are sent while some of their bytes are still to come, where the driver can. */
import { StoreError } from '../../src/errors.ts'
import type { PartBody } from '../../src/objects/bucket.ts'
import { bytesOf, concat } from '../suites/bodies.ts'
import { equal, ok } from '../suites/support.ts'
import { expectObject, failure, options, type BucketCase } from './suite-support.ts'

const size = 6 << 20
const third = size / 3

/** A part whose pieces come as the test lets them. */
function partBody(bytes: Uint8Array, piece: number, atPiece: (n: number) => void | Promise<void> = () => {}) {
  const body: PartBody = {
    size: bytes.length,
    signal: new AbortController().signal,
    async *pieces() {
      for (let at = 0; at < bytes.length; at += piece) {
        await atPiece(at / piece)
        yield bytes.subarray(at, at + piece)
      }
    },
  }
  return body
}

export const streamedCases: readonly BucketCase[] = [
  {
    title: 'a part whose bytes come one after the other: stored as it is',
    async run({ bucket }) {
      if (bucket.streamPart === undefined) return
      const bytes = bytesOf(size)
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const body = partBody(bytes, 100_000, () => new Promise(setImmediate))
      const etag = await bucket.streamPart(multipart, 1, body, options)
      ok(etag !== null && etag !== '', 'what names it')
      const last = await bucket.putPart(multipart, 2, bytesOf(10), options)
      const parts = [
        { partNumber: 1, etag, size },
        { partNumber: 2, etag: last ?? '', size: 10 },
      ]
      equal(await bucket.complete(multipart, parts, {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', concat([bytes, bytesOf(10)]))
    },
  },
  {
    title: 'a part that is given up on its way: it ends at once, nothing is stored, its number is free for other bytes',
    async run({ bucket }) {
      if (bucket.streamPart === undefined) return
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const controller = new AbortController()
      const body = partBody(bytesOf(size), third, (n) => {
        if (n < 2) return
        controller.abort(new StoreError('unavailable', 'given up'))
        return new Promise(() => {})
      })
      await failure(bucket.streamPart(multipart, 1, body, { signal: controller.signal }))
      const bytes = bytesOf(third + (4 << 20), 7)
      const etag = await bucket.putPart(multipart, 1, bytes, options)
      const part = { partNumber: 1, etag: etag ?? '', size: bytes.length }
      equal(await bucket.complete(multipart, [part], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytes)
    },
  },
  {
    title: 'a part whose pieces break off: it fails with what they failed with, nothing is stored',
    async run({ bucket }) {
      if (bucket.streamPart === undefined) return
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const body = partBody(bytesOf(size), third, (n) => {
        if (n === 1) throw new StoreError('unavailable', 'no more of it')
      })
      const error = await failure(bucket.streamPart(multipart, 1, body, options))
      equal(error.code, 'unavailable', 'code')
      equal(await bucket.head('key', options), null, 'object')
      await bucket.abort(multipart, options)
    },
  },
]
