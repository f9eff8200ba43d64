/** Cases over what a `Bucket` stores on a condition: that keeps several servers apart. */
import { StoreError } from '../../src/errors.ts'
import type { Bucket, PutOptions } from '../../src/objects/bucket.ts'
import { bytesOf } from '../suites/bodies.ts'
import { equal, ok } from '../suites/support.ts'
import { expectObject, listing, options, put, type BucketCase } from './suite-support.ts'

export const conditionCases: readonly BucketCase[] = [
  {
    title: 'put with ifNoneMatch: stored where nothing is, null and unchanged where something is',
    async run({ bucket }) {
      const version = await bucket.put('key', bytesOf(10, 1), { ifNoneMatch: '*' }, options)
      ok(version !== null, 'the first is stored')
      equal(await bucket.put('key', bytesOf(20, 2), { ifNoneMatch: '*' }, options), null, 'the second')
      equal((await bucket.head('key', options))?.version, version, 'version')
      await expectObject(bucket, 'key', bytesOf(10, 1))
      await bucket.delete('key', options)
      ok((await bucket.put('key', bytesOf(30, 3), { ifNoneMatch: '*' }, options)) !== null, 'stored after a delete')
      await expectObject(bucket, 'key', bytesOf(30, 3))
    },
  },
  {
    title: 'put with ifMatch: stored over that version, null and unchanged over another',
    async run({ bucket }) {
      const first = await put(bucket, 'key', bytesOf(10, 1))
      const second = await bucket.put('key', bytesOf(20, 2), { ifMatch: first }, options)
      ok(second !== null && second !== first, `a new version: ${second}`)
      equal(await bucket.put('key', bytesOf(30, 3), { ifMatch: first }, options), null, 'over the former version')
      await expectObject(bucket, 'key', bytesOf(20, 2))
      const third = await bucket.put('key', bytesOf(40, 4), { ifMatch: second }, options)
      ok(third !== null, 'over the present version')
      const read = await bucket.get('key', { start: 0, end: 5 }, options)
      equal(read?.version, third, 'version as read with a range')
      ok((await bucket.put('key', bytesOf(50, 5), { ifMatch: read?.version ?? '' }, options)) !== null, 'over the read')
    },
  },
  {
    title: 'put with ifMatch where nothing is (any more): null, still nothing',
    async run({ bucket }) {
      const version = await put(bucket, 'key', bytesOf(10))
      equal(await bucket.put('never', bytesOf(10), { ifMatch: version }, options), null, 'never there')
      await bucket.delete('key', options)
      equal(await bucket.put('key', bytesOf(10), { ifMatch: version }, options), null, 'deleted')
      equal(await listing(bucket, ''), '', 'listing')
    },
  },
  {
    title: 'ten puts at once with ifNoneMatch: exactly one wins, whose bytes are stored',
    run: ({ bucket }) => race(bucket, { ifNoneMatch: '*' }),
  },
  {
    title: 'ten puts at once with ifMatch: exactly one wins, whose bytes are stored',
    run: async ({ bucket }) => race(bucket, { ifMatch: await put(bucket, 'raced', bytesOf(7, 99)) }),
  },
]

/** Ten at once. A driver may answer some with a transient failure; they try again, as the engine does. */
async function race(bucket: Bucket, condition: PutOptions): Promise<void> {
  const versions = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await bucket.put('raced', bytesOf(1000 + i, i), condition, options)
        } catch (error) {
          if (!(error instanceof StoreError && error.transient && attempt < 20)) throw error
        }
      }
    }),
  )
  const winners = versions.flatMap((version, i) => (version === null ? [] : [i]))
  equal(winners.length, 1, `winners (${winners.join()})`)
  const winner = winners[0] ?? 0
  await expectObject(bucket, 'raced', bytesOf(1000 + winner, winner))
  equal((await bucket.head('raced', options))?.version, versions[winner], 'version')
}
