/** Cases over whole objects of a `Bucket`: put, get, read, head, delete, list. */
import { bytesOf, concat } from '../suites/bodies.ts'
import { equal, equalBytes, ok } from '../suites/support.ts'
import {
  collect,
  disposition,
  expectObject,
  failure,
  gather,
  listing,
  options,
  put,
  type BucketCase,
} from './suite-support.ts'

export const objectCases: readonly BucketCase[] = [
  {
    title: 'put, then get, head and list: the bytes, the size and one version',
    async run({ bucket }) {
      const bytes = bytesOf(100_000, 1)
      const version = await put(bucket, 'a/b', bytes)
      const got = await bucket.get('a/b', null, options)
      ok(got !== null, 'get finds it')
      equalBytes(got.bytes, bytes, 'bytes')
      equal(got.size, 100_000, 'size by get')
      equal(got.version, version, 'version by get')
      const info = await bucket.head('a/b', options)
      equal(info?.size, 100_000, 'size by head')
      equal(info?.version, version, 'version by head')
      equal(await listing(bucket, ''), 'a/b 100000', 'listing')
    },
  },
  {
    title: 'get and head of a key that is not there: null',
    async run({ bucket }) {
      await put(bucket, 'there', bytesOf(5))
      for (const key of ['other', 'ther', 'there/', 'there/more']) {
        equal(await bucket.get(key, null, options), null, `get ${key}`)
        equal(await bucket.get(key, { start: 0, end: 1 }, options), null, `get ${key} with a range`)
        equal(await bucket.head(key, options), null, `head ${key}`)
      }
    },
  },
  {
    title: 'put over an object: the new bytes under a new version',
    async run({ bucket }) {
      const first = await put(bucket, 'key', bytesOf(10, 1))
      const second = await put(bucket, 'key', bytesOf(20, 2))
      ok(first !== second, `versions differ: ${first}, ${second}`)
      await expectObject(bucket, 'key', bytesOf(20, 2))
    },
  },
  {
    title: 'put of a view into a larger buffer: only the view is stored',
    async run({ bucket }) {
      const whole = bytesOf(300)
      await put(bucket, 'view', whole.subarray(100, 200))
      await put(bucket, 'node', Buffer.from(whole.buffer, 50, 100))
      await expectObject(bucket, 'view', whole.slice(100, 200))
      await expectObject(bucket, 'node', whole.slice(50, 150))
    },
  },
  {
    title: 'put of nothing: an empty object, whose ranges are empty too',
    async run({ bucket }) {
      const version = await put(bucket, 'empty', new Uint8Array(0))
      equal((await bucket.head('empty', options))?.size, 0, 'size by head')
      for (const range of [null, { start: 0, end: 1 }, { start: 0, end: 1000 }]) {
        const got = await bucket.get('empty', range, options)
        equal(got?.bytes.length, 0, 'bytes')
        equal(got?.size, 0, 'size')
        equal(got?.version, version, 'version')
      }
      equal((await collect(bucket.read('empty', { start: 0, end: 100 }, options))).length, 0, 'bytes read')
      equal(await listing(bucket, ''), 'empty 0', 'listing')
    },
  },
  {
    title: 'get with a range: those bytes, clipped to what is there, with the size of the whole',
    async run({ bucket }) {
      const bytes = bytesOf(1000)
      const version = await put(bucket, 'key', bytes)
      for (const [start, end] of [
        [0, 1],
        [0, 1000],
        [999, 1000],
        [10, 20],
        [990, 2000],
        [0, 5000],
        [500, 500],
        [1000, 1001],
        [2000, 3000],
      ] as const) {
        const got = await bucket.get('key', { start, end }, options)
        ok(got !== null, `${start}-${end}: found`)
        equalBytes(got.bytes, bytes.slice(start, end), `${start}-${end}`)
        equal(got.size, 1000, `${start}-${end}: size of the whole`)
        equal(got.version, version, `${start}-${end}: version`)
      }
    },
  },
  {
    title: 'read with a range: those bytes, clipped to what is there',
    async run({ bucket }) {
      const bytes = bytesOf(1000)
      await put(bucket, 'key', bytes)
      for (const [start, end] of [
        [0, 1000],
        [10, 20],
        [999, 1000],
        [990, 2000],
        [500, 500],
      ] as const) {
        equalBytes(
          await collect(bucket.read('key', { start, end }, options)),
          bytes.slice(start, end),
          `${start}-${end}`,
        )
      }
    },
  },
  {
    title: 'read of a key that is not there: corrupt',
    async run({ bucket }) {
      const error = await failure(collect(bucket.read('missing', { start: 0, end: 10 }, options)))
      equal(error.code, 'corrupt', `code of "${error.message}"`)
      equal(error.transient, false, 'transient')
    },
  },
  {
    title: 'read of 8 MiB: in pieces, as they come',
    async run({ bucket }) {
      const bytes = bytesOf(8 << 20)
      await put(bucket, 'key', bytes)
      const pieces: Uint8Array[] = []
      for await (const piece of bucket.read('key', { start: 5, end: (8 << 20) - 5 }, options)) pieces.push(piece)
      ok(pieces.length > 1, `${pieces.length} pieces`)
      equalBytes(concat(pieces), bytes.subarray(5, -5), 'bytes')
    },
  },
  {
    title: 'read that is left early, many times: the bucket goes on working',
    async run({ bucket }) {
      const bytes = bytesOf(4 << 20)
      await put(bucket, 'key', bytes)
      for (let i = 0; i < 30; i++) {
        for await (const piece of bucket.read('key', { start: i, end: bytes.length }, options)) {
          equal(piece[0], bytes[i], 'first byte')
          break
        }
      }
      await expectObject(bucket, 'key', bytes)
    },
  },
  {
    title: 'delete: the object is gone; once more: fine',
    async run({ bucket }) {
      await put(bucket, 'key', bytesOf(10))
      await put(bucket, 'key2', bytesOf(10))
      await bucket.delete('key', options)
      await bucket.delete('key', options)
      await bucket.delete('never', options)
      equal(await bucket.head('key', options), null, 'head')
      equal(await listing(bucket, ''), 'key2 10', 'listing')
    },
  },
  {
    title: 'list by a prefix: all keys that start with it, nothing of the neighbours',
    async run({ bucket, open }) {
      // None of them is another one's folder: servers over a file system know no such pair.
      for (const key of ['ab', 'a/b', 'a/bc', 'a/d/e', 'b', 'a+', 'a b']) await put(bucket, key, bytesOf(key.length))
      await put(open('x'), 'a', bytesOf(100))
      equal(await listing(bucket, 'a'), 'a b 3,a+ 2,a/b 3,a/bc 4,a/d/e 5,ab 2', 'prefix a')
      equal(await listing(bucket, 'a/'), 'a/b 3,a/bc 4,a/d/e 5', 'prefix a/')
      equal(await listing(bucket, 'a/b'), 'a/b 3,a/bc 4', 'prefix a/b')
      equal(await listing(bucket, 'a+'), 'a+ 2', 'prefix a+')
      equal(await listing(bucket, 'none'), '', 'prefix none')
      equal(await listing(open('x'), ''), 'a 100', 'another prefix')
    },
  },
  {
    title: 'list of 1,050 objects: every one once, and leaving early is fine',
    async run({ bucket }) {
      const keys = Array.from({ length: 1050 }, (_, i) => `many/${i} +é`)
      const left = [...keys]
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          for (let key = left.pop(); key !== undefined; key = left.pop()) await put(bucket, key, bytesOf(1))
        }),
      )
      const seen: string[] = []
      for await (const { key } of bucket.list('many/', options)) seen.push(key)
      equal(seen.toSorted().join(), keys.toSorted().join(), 'keys')
      for await (const { size } of bucket.list('many/', options)) {
        equal(size, 1, 'size')
        break
      }
    },
  },
  {
    title: 'put with a content type and disposition: the object is served with them',
    async run({ bucket, served }) {
      const headers = { contentType: 'text/plain; charset=utf-8', contentDisposition: disposition }
      await put(bucket, 'key', bytesOf(3), headers)
      const got = await served('key')
      equal(got.contentType, headers.contentType, 'content type')
      equal(got.contentDisposition, headers.contentDisposition, 'content disposition')
    },
  },
  {
    title: 'check of a bucket that works: no failure, nothing left behind',
    async run({ bucket }) {
      await bucket.check(options)
      await bucket.check(options)
      equal(await listing(bucket, ''), '', 'listing')
      equal((await gather(bucket.multiparts('', options))).length, 0, 'multiparts')
    },
  },
]
