/** Cases over calls to a `Bucket` that are aborted. */
import { bytesOf } from '../suites/bodies.ts'
import { equal, ok } from '../suites/support.ts'
import { collect, failure, gather, listing, options, put, type BucketCase } from './suite-support.ts'

export const abortCases: readonly BucketCase[] = [
  {
    title: 'any call with a signal that is aborted: transient failure, nothing done',
    async run({ bucket }) {
      await put(bucket, 'key', bytesOf(10))
      const multipart = await bucket.createMultipart('multipart', {}, options)
      const aborted = { signal: AbortSignal.abort() }
      const calls: Record<string, () => Promise<unknown>> = {
        get: () => bucket.get('key', null, aborted),
        read: () => collect(bucket.read('key', { start: 0, end: 10 }, aborted)),
        head: () => bucket.head('key', aborted),
        put: () => bucket.put('new', bytesOf(10), {}, aborted),
        delete: () => bucket.delete('key', aborted),
        list: () => listing(bucket, '', aborted),
        createMultipart: () => bucket.createMultipart('key', {}, aborted),
        putPart: () => bucket.putPart({ key: 'multipart', multipartId: multipart }, 1, bytesOf(10), aborted),
        multiparts: () => gather(bucket.multiparts('', aborted)),
      }
      for (const [name, call] of Object.entries(calls)) {
        const error = await failure(call())
        equal(`${error.code} ${error.transient}`, 'unavailable true', `${name} ("${error.message}")`)
      }
      equal(await listing(bucket, ''), 'key 10', 'listing')
      await bucket.abort({ key: 'multipart', multipartId: multipart }, options)
    },
  },
  {
    title: 'calls that are aborted on the way: they end at once with a transient failure',
    async run({ bucket }) {
      const bytes = bytesOf(8 << 20)
      await put(bucket, 'key', bytes)
      for (const call of [
        (o: typeof options) => bucket.put('other', bytes, {}, o),
        (o: typeof options) => bucket.get('key', null, o),
      ]) {
        const controller = new AbortController()
        const pending = failure(call({ signal: controller.signal }))
        controller.abort()
        const error = await pending
        equal(`${error.code} ${error.transient}`, 'unavailable true', `"${error.message}"`)
      }
      const controller = new AbortController()
      const error = await failure(
        (async () => {
          for await (const piece of bucket.read(
            'key',
            { start: 0, end: bytes.length },
            { signal: controller.signal },
          )) {
            ok(piece.length < bytes.length, 'not yet the whole')
            controller.abort()
          }
        })(),
      )
      equal(`${error.code} ${error.transient}`, 'unavailable true', `"${error.message}"`)
    },
  },
]
