/** Cases over the multipart half of a `Bucket`. */
import type { Bucket, Multipart, ObjectHeaders, Part } from '../../src/objects/bucket.ts'
import { bytesOf, concat } from '../suites/bodies.ts'
import { equal, ok } from '../suites/support.ts'
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

export const multipartCases: readonly BucketCase[] = [
  {
    title: 'three parts of least size and a smaller last one, sent in any order: the object, once completed',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'folder/key')
      const bytes = [1, 2, 3].map((seed) => bytesOf(partBytes(bucket), seed))
      bytes.push(bytesOf(1000, 4))
      const parts = await Promise.all([4, 2, 1, 3].map((number) => part(bucket, multipart, number, bytes[number - 1])))
      equal(await bucket.head('folder/key', options), null, 'object before complete')
      equal(await listing(bucket, ''), '', 'listing before complete')
      ok(
        parts.every(({ etag }) => etag.length <= 500),
        'what names a part is short',
      )
      const inOrder = parts.toSorted((a, b) => a.partNumber - b.partNumber)
      equal(await bucket.complete(multipart, inOrder, {}, options), 'completed', 'complete')
      const whole = concat(bytes)
      await expectObject(bucket, 'folder/key', whole)
      const version = (await bucket.head('folder/key', options))?.version
      const got = await bucket.get('folder/key', { start: partBytes(bucket) - 5, end: partBytes(bucket) + 5 }, options)
      equal(got?.version, version, 'version')
      equal(got?.size, whole.length, 'size')
      equal(await listing(bucket, ''), `folder/key ${whole.length}`, 'listing after complete')
      equal(await begun(bucket, ''), '', 'multiparts after complete')
    },
  },
  {
    title: 'complete of one part of one byte: an object of one byte',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      const only = await part(bucket, multipart, 1, bytesOf(1))
      equal(await bucket.complete(multipart, [only], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytesOf(1))
    },
  },
  {
    title: 'complete of many parts: all of them, in order',
    async run({ bucket }) {
      const size = partBytes(bucket)
      const count = size > 1 << 20 ? 5 : 70
      const multipart = await begin(bucket, 'key')
      const bytes = Array.from({ length: count }, (_, i) => bytesOf(size, i + 1))
      const parts: Part[] = []
      for (const [i, one] of bytes.entries()) parts.push(await part(bucket, multipart, i + 1, one))
      equal(await bucket.complete(multipart, parts, {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', concat(bytes))
      equal(await listing(bucket, ''), `key ${count * size}`, 'listing')
    },
  },
  {
    title: 'complete with gaps between the part numbers and a part left out: the parts named, nothing else',
    async run({ bucket, wantsEveryPart = false }) {
      const size = partBytes(bucket)
      const multipart = await begin(bucket, 'key')
      const one = await part(bucket, multipart, 1, bytesOf(size, 1))
      await part(bucket, multipart, 2, bytesOf(size, 2))
      const seven = await part(bucket, multipart, 7, bytesOf(100, 7))
      await part(bucket, multipart, 9, bytesOf(size, 9))
      if (wantsEveryPart) {
        equal(await bucket.complete(multipart, [one, seven], {}, options), 'invalid', 'complete')
        equal(await bucket.head('key', options), null, 'object')
        return
      }
      equal(await bucket.complete(multipart, [one, seven], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', concat([bytesOf(size, 1), bytesOf(100, 7)]))
      equal(await listing(bucket, ''), `key ${size + 100}`, 'listing')
    },
  },
  {
    title: 'complete over an object: the former one until then, the new one after',
    async run({ bucket }) {
      const version = await put(bucket, 'key', bytesOf(10, 1))
      const multipart = await begin(bucket, 'key')
      const only = await part(bucket, multipart, 1, bytesOf(20, 2))
      await expectObject(bucket, 'key', bytesOf(10, 1))
      equal(await bucket.complete(multipart, [only], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytesOf(20, 2))
      ok((await bucket.head('key', options))?.version !== version, 'another version')
      equal(await bucket.put('key', bytesOf(5), { ifNoneMatch: '*' }, options), null, 'put where it is')
    },
  },
  {
    title: 'a part sent again with other bytes: the later ones, under the name they got',
    async run({ bucket }) {
      const size = partBytes(bucket)
      const multipart = await begin(bucket, 'key')
      const former = await part(bucket, multipart, 1, bytesOf(size, 1))
      const last = await part(bucket, multipart, 2, bytesOf(10, 2))
      const later = await part(bucket, multipart, 1, bytesOf(size, 3))
      ok(former.etag !== later.etag, 'another name')
      equal(await bucket.complete(multipart, [later, last], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', concat([bytesOf(size, 3), bytesOf(10, 2)]))
    },
  },
  {
    title: 'a part sent again with the same bytes, as after a lost answer: completed under the later name',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      await part(bucket, multipart, 1, bytesOf(500))
      const again = await part(bucket, multipart, 1, bytesOf(500))
      equal(await bucket.complete(multipart, [again], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytesOf(500))
    },
  },
  {
    title: 'complete with a part that was never sent, or under a wrong name: invalid; the right ones still complete',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      const other = await begin(bucket, 'other')
      const size = partBytes(bucket)
      const one = await part(bucket, multipart, 1, bytesOf(size, 1))
      const two = await part(bucket, multipart, 2, bytesOf(size, 2))
      const stray = await part(bucket, other, 3, bytesOf(100, 3))
      equal(await bucket.complete(multipart, [one, two, stray], {}, options), 'invalid', 'a part never sent')
      equal(
        await bucket.complete(multipart, [one, { ...stray, partNumber: 2 }], {}, options),
        'invalid',
        'a wrong name',
      )
      equal(await bucket.head('key', options), null, 'object')
      equal(await bucket.complete(multipart, [one, two], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', concat([bytesOf(size, 1), bytesOf(size, 2)]))
      await bucket.abort(other, options)
    },
  },
  {
    title: 'complete once more, as after a lost answer: missing or completed, and the object stays as it is',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      const only = await part(bucket, multipart, 1, bytesOf(1000))
      equal(await bucket.complete(multipart, [only], {}, options), 'completed', 'complete')
      const again = await bucket.complete(multipart, [only], {}, options)
      ok(again === 'missing' || again === 'completed', `complete once more: ${again}`)
      await expectObject(bucket, 'key', bytesOf(1000))
    },
  },
  {
    title: 'abort: parts refused, complete finds nothing, no object; once more: fine',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      const only = await part(bucket, multipart, 1, bytesOf(1000))
      await bucket.abort(multipart, options)
      await bucket.abort(multipart, options)
      equal(await bucket.putPart(multipart, 2, bytesOf(10), options), null, 'putPart')
      equal(await bucket.complete(multipart, [only], {}, options), 'missing', 'complete')
      equal(await bucket.head('key', options), null, 'object')
      equal(await listing(bucket, ''), '', 'listing')
      equal(await begun(bucket, ''), '', 'multiparts')
    },
  },
  {
    title: 'putPart after complete: null; abort after complete: the object stays',
    async run({ bucket }) {
      const multipart = await begin(bucket, 'key')
      const only = await part(bucket, multipart, 1, bytesOf(1000))
      await bucket.complete(multipart, [only], {}, options)
      equal(await bucket.putPart(multipart, 1, bytesOf(10), options), null, 'putPart')
      await bucket.abort(multipart, options)
      await expectObject(bucket, 'key', bytesOf(1000))
    },
  },
  {
    title: 'two multiparts of one key: apart from each other',
    async run({ bucket }) {
      const one = await begin(bucket, 'key')
      const two = await begin(bucket, 'key')
      ok(one.multipartId !== two.multipartId, 'names differ')
      const partOne = await part(bucket, one, 1, bytesOf(100, 1))
      await part(bucket, two, 1, bytesOf(200, 2))
      await bucket.abort(two, options)
      equal(await bucket.complete(one, [partOne], {}, options), 'completed', 'complete')
      await expectObject(bucket, 'key', bytesOf(100, 1))
    },
  },
  {
    title: 'multiparts by a prefix: those begun and not ended, with their times, nothing of the neighbours',
    async run({ bucket, open }) {
      const before = Date.now()
      const ended = await begin(bucket, 'a/ended')
      const given = await begin(bucket, 'a/given-up')
      const only = await part(bucket, ended, 1, bytesOf(10))
      const wanted = [await begin(bucket, 'a/x y+z'), await begin(bucket, 'a/b'), await begin(bucket, 'a/b')]
      await part(bucket, wanted[0], 1, bytesOf(10))
      const outside = [await begin(bucket, 'b'), await begin(open('x'), 'a/b')] as const
      await bucket.complete(ended, [only], {}, options)
      await bucket.abort(given, options)
      equal(await begun(bucket, 'a/'), names(wanted), 'multiparts of a/')
      equal(await begun(bucket, 'a/b'), names(wanted.slice(1)), 'multiparts of a/b')
      const all = [...wanted, outside[0], { key: 'xa/b', multipartId: outside[1].multipartId }]
      equal(await begun(bucket, ''), names(all), 'multiparts of all')
      equal(await begun(open('x'), ''), names([outside[1]]), 'multiparts of another prefix')
      equal(await begun(bucket, 'none'), '', 'multiparts of none')
      equal(await listing(bucket, ''), 'a/ended 10', 'listing')
      for await (const { createdAt } of bucket.multiparts('', options)) {
        ok(Math.abs(createdAt - before) < 60_000, `createdAt ${createdAt}, begun at ${before}`)
      }
      for (const one of wanted) await bucket.abort(one, options)
      await bucket.abort(outside[0], options)
      await open('x').abort(outside[1], options)
      equal(await begun(bucket, ''), '', 'multiparts at the end')
    },
  },
  {
    title: 'a multipart with a content type and disposition: the object is served with them',
    async run({ bucket, served }) {
      const headers: ObjectHeaders = { contentType: 'image/png', contentDisposition: disposition }
      const multipartId = await bucket.createMultipart('key', headers, options)
      const only = await part(bucket, { key: 'key', multipartId }, 1, bytesOf(10))
      equal(await bucket.complete({ key: 'key', multipartId }, [only], headers, options), 'completed', 'complete')
      const got = await served('key')
      equal(got.contentType, headers.contentType, 'content type')
      equal(got.contentDisposition, headers.contentDisposition, 'content disposition')
    },
  },
  {
    title: 'parts, where it can tell them: all of a multipart, under the names they got; null where there is none',
    async run({ bucket }) {
      if (bucket.parts === undefined) return
      const multipart = await begin(bucket, 'key +')
      equal(JSON.stringify(await bucket.parts(multipart, options)), '[]', 'parts before the first')
      await part(bucket, await begin(bucket, 'key +'), 1, bytesOf(7))
      await part(bucket, multipart, 4, bytesOf(partBytes(bucket), 4))
      const sent = [
        await part(bucket, multipart, 2, bytesOf(30, 2)),
        await part(bucket, multipart, 4, bytesOf(40, 5)),
        await part(bucket, multipart, 10_000, bytesOf(50, 6)),
      ]
      const bare = (parts: readonly Part[] | null) =>
        parts?.map(({ partNumber, etag, size }) => `${partNumber} ${etag.replaceAll('"', '')} ${size}`).join()
      equal(bare(await bucket.parts(multipart, options)), bare(sent), 'parts')
      await bucket.abort(multipart, options)
      equal(await bucket.parts(multipart, options), null, 'parts of an aborted one')
    },
  },
  {
    title: 'copyPart, where there is one: those bytes of the other object, between parts that were sent',
    async run({ bucket }) {
      if (bucket.copyPart === undefined) return
      const size = partBytes(bucket)
      await put(bucket, 'source +', bytesOf(size + 2000, 9))
      const multipart = await begin(bucket, 'key')
      const first = await part(bucket, multipart, 1, bytesOf(size, 1))
      const parts = [first]
      for (const [partNumber, start, end] of [
        [2, 1000, size + 1000],
        [3, 5, 6],
      ] as const) {
        const etag = await bucket.copyPart(multipart, partNumber, { key: 'source +', range: { start, end } }, options)
        ok(etag !== null, `copyPart ${partNumber}`)
        parts.push({ partNumber, etag, size: end - start })
      }
      equal(await bucket.complete(multipart, parts, {}, options), 'completed', 'complete')
      const source = bytesOf(size + 2000, 9)
      await expectObject(bucket, 'key', concat([bytesOf(size, 1), source.slice(1000, size + 1000), source.slice(5, 6)]))
    },
  },
  {
    title: 'copyPart of an object that is not there: corrupt; into a multipart that is not there: null',
    async run({ bucket }) {
      if (bucket.copyPart === undefined) return
      await put(bucket, 'source', bytesOf(1000))
      const range = { start: 0, end: 1000 }
      const multipart = await begin(bucket, 'key')
      const error = await failure(bucket.copyPart(multipart, 1, { key: 'missing', range }, options))
      equal(`${error.code} ${error.transient}`, 'corrupt false', `"${error.message}"`)
      await bucket.abort(multipart, options)
      equal(await bucket.copyPart(multipart, 1, { key: 'source', range }, options), null, 'aborted multipart')
    },
  },
  {
    title: 'a part of an aborted call, sent again: completed as if nothing had been',
    async run({ bucket }) {
      const size = Math.max(partBytes(bucket), 6 << 20)
      const multipart = await begin(bucket, 'key')
      const controller = new AbortController()
      const cut = failure(bucket.putPart(multipart, 1, bytesOf(size, 1), { signal: controller.signal }))
      controller.abort()
      const error = await cut
      equal(`${error.code} ${error.transient}`, 'unavailable true', `"${error.message}"`)
      const only = await part(bucket, multipart, 1, bytesOf(size, 2))
      equal(await bucket.complete(multipart, [only], {}, options), 'completed', 'complete')
      const from = size - 1000
      const tail = await collect(bucket.read('key', { start: from, end: size }, options))
      equal(tail.join(), bytesOf(size, 2).subarray(from).join(), 'end of the object')
    },
  },
]

async function begin(bucket: Bucket, key: string): Promise<Multipart> {
  const multipartId = await bucket.createMultipart(key, {}, options)
  ok(multipartId !== '', `createMultipart ${key}: a name`)
  return { key, multipartId }
}

async function part(
  bucket: Bucket,
  multipart: Multipart | undefined,
  partNumber: number,
  bytes: Uint8Array | undefined,
): Promise<Part> {
  ok(multipart !== undefined && bytes !== undefined, 'the test names a part that is there')
  const etag = await bucket.putPart(multipart, partNumber, bytes, options)
  ok(etag !== null && etag !== '', `putPart ${partNumber}: a name`)
  return { partNumber, etag, size: bytes.length }
}

/** A size that every part but the last may have. */
function partBytes(bucket: Bucket): number {
  return Math.max(bucket.limits.minPartBytes, 64 << 10)
}

async function begun(bucket: Bucket, prefix: string): Promise<string> {
  return names(await gather(bucket.multiparts(prefix, options)))
}

function names(multiparts: readonly Multipart[]): string {
  return multiparts
    .map(({ key, multipartId }) => `${key} ${multipartId}`)
    .toSorted()
    .join()
}
