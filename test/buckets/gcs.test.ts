/**
 * The Google Cloud Storage driver against fake-gcs-server, or what `TEST_GCS_ENDPOINT` names: Google's own, stricter
 * `storage-testbench` passes as well.
 */
import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { gcsBucket } from '../../src/buckets/gcs.ts'
import type { Bucket } from '../../src/objects/bucket.ts'
import { startFakeGcs, type GcsServer } from '../servers/fake-gcs.ts'
import { bytesOf, concat } from '../suites/bodies.ts'
import { bucketCases } from './suite.ts'
import {
  disposition,
  expectObject,
  failure,
  gather,
  listing,
  options,
  put,
  type BucketContext,
} from './suite-support.ts'

/** What takes a place where multiparts are kept. Here they are not; the cases below say what there is instead. */
const otherwise: readonly string[] = [
  'abort: parts refused, complete finds nothing, no object; once more: fine',
  'putPart after complete: null; abort after complete: the object stays',
  'multiparts by a prefix: those begun and not ended, with their times, nothing of the neighbours',
  'copyPart of an object that is not there: corrupt; into a multipart that is not there: null',
]

const server = await startFakeGcs()
after(() => server?.stop())
if (server !== null) await run(server)

async function run(server: GcsServer): Promise<void> {
  const { name, endpoint } = server
  const bucketName = await server.newBucket()
  let count = 0

  function context(): BucketContext {
    const prefix = `case-${++count}/`
    const open = (suffix: string) => gcsBucket({ bucket: bucketName, endpoint, prefix: prefix + suffix })
    return {
      bucket: open(''),
      open,
      async served(key) {
        const answer = await fetch(`${endpoint}/storage/v1/b/${bucketName}/o/${encodeURIComponent(prefix + key)}`)
        const { contentType, contentDisposition } = (await answer.json()) as Record<string, string>
        return { contentType: contentType ?? '', contentDisposition: contentDisposition ?? '' }
      },
    }
  }

  const mine: [title: string, run: (context: BucketContext) => Promise<void>][] = [
    [
      'abort: complete finds nothing, a part sent after it is a leftover that multiparts lists; once more: that is gone',
      async ({ bucket }) => {
        const multipart = await begin(bucket, 'key')
        const only = await part(bucket, multipart, 1, 1000)
        await bucket.abort(multipart, options)
        assert.equal(await bucket.complete(multipart, [only], {}, options), 'missing')
        assert.equal(await begun(bucket, ''), '')
        await part(bucket, multipart, 2, 10)
        assert.equal(await bucket.complete(multipart, [only], {}, options), 'missing')
        assert.equal(await begun(bucket, ''), `key ${multipart.multipartId}`)
        await bucket.abort(multipart, options)
        await bucket.abort(multipart, options)
        assert.equal(await begun(bucket, ''), '')
        assert.equal(await bucket.head('key', options), null)
      },
    ],
    [
      'abort after complete: the object stays, former parts are gone',
      async ({ bucket }) => {
        const multipart = await begin(bucket, 'key')
        await part(bucket, multipart, 1, 2000)
        const only = await part(bucket, multipart, 1, 1000)
        assert.equal(await bucket.complete(multipart, [only], {}, options), 'completed')
        assert.equal(await begun(bucket, ''), `key ${multipart.multipartId}`)
        await bucket.abort(multipart, options)
        assert.equal(await begun(bucket, ''), '')
        await expectObject(bucket, 'key', bytesOf(1000, 1))
      },
    ],
    [
      'multiparts by a prefix: those with parts, each once, with their times, nothing of the neighbours',
      async ({ bucket, open }) => {
        const before = Date.now()
        const wanted = [await begin(bucket, 'a/x y+z'), await begin(bucket, 'a/b'), await begin(bucket, 'a/b')]
        const outside = [await begin(bucket, 'a'), await begin(bucket, 'b')]
        for (const one of [...wanted, ...outside]) for (const n of [1, 2, 3]) await part(bucket, one, n, 10)
        assert.equal(await listing(bucket, ''), '')
        await part(open('x'), await begin(open('x'), 'a/b'), 1, 10)
        assert.equal(await begun(bucket, 'a/'), names(wanted))
        assert.equal(await begun(bucket, 'a/b'), names(wanted.slice(1)))
        // What a multipart is called is no part of a key.
        assert.equal(await begun(bucket, `a/${outside[0]!.multipartId}`), '')
        assert.equal(await begun(bucket, ''), names([...wanted, ...outside]))
        for await (const { createdAt } of bucket.multiparts('', options)) {
          assert.ok(Math.abs(createdAt - before) < 60_000, `createdAt ${createdAt}, begun at ${before}`)
        }
      },
    ],
    [
      'copyPart of an object that is not there, or of bytes past its end: corrupt',
      async ({ bucket }) => {
        const multipart = await begin(bucket, 'key')
        await put(bucket, 'source', bytesOf(100))
        for (const [key, start, end] of [
          ['missing', 0, 1000],
          ['missing', 5, 10],
          ['source', 0, 101],
          ['source', 50, 101],
          ['source', 100, 101],
        ] as const) {
          const error = await failure(bucket.copyPart!(multipart, 1, { key, range: { start, end } }, options))
          assert.equal(`${error.code} ${error.transient}`, 'corrupt false', error.message)
        }
        assert.equal(await begun(bucket, ''), '')
      },
    ],
    [
      'copyPart of a whole object that is then removed: its bytes are in the part',
      async ({ bucket }) => {
        const source = bytesOf(100_000, 7)
        await put(bucket, 'source', source)
        const multipart = await begin(bucket, 'key')
        const range = { start: 0, end: source.length }
        const etag = await bucket.copyPart!(multipart, 1, { key: 'source', range }, options)
        await bucket.delete('source', options)
        const parts = [{ partNumber: 1, etag: etag ?? '', size: source.length }, await part(bucket, multipart, 2, 10)]
        assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
        await expectObject(bucket, 'key', concat([source, bytesOf(10, 2)]))
        assert.equal(await begun(bucket, ''), '')
      },
    ],
    [
      'copyPart of a range of 12 MiB: streamed through',
      async ({ bucket }) => {
        const source = bytesOf(16 << 20, 7)
        await put(bucket, 'source', source)
        const multipart = await begin(bucket, 'key')
        const range = { start: 1 << 20, end: 13 << 20 }
        const etag = await bucket.copyPart!(multipart, 1, { key: 'source', range }, options)
        const parts = [{ partNumber: 1, etag: etag ?? '', size: 12 << 20 }]
        assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
        await expectObject(bucket, 'key', source.subarray(range.start, range.end))
      },
    ],
    [
      'complete of 100 parts, some of them empty, with headers: joined in order, served with them, nothing left',
      async ({ bucket, served }) => {
        const multipart = await begin(bucket, 'key')
        const parts = []
        for (let n = 1; n <= 100; n++) parts.push(await part(bucket, multipart, n, n % 10 === 0 ? 0 : n))
        const headers = { contentType: 'image/png', contentDisposition: disposition }
        assert.equal(await bucket.complete(multipart, parts, headers, options), 'completed')
        await expectObject(bucket, 'key', concat(parts.map(({ partNumber, size }) => bytesOf(size, partNumber))))
        assert.deepEqual(await served('key'), headers)
        assert.equal(await begun(bucket, ''), '')
      },
    ],
    [
      'complete of nothing but an empty part: an empty object, with headers',
      async ({ bucket, served }) => {
        const multipart = await begin(bucket, 'key')
        const empty = await part(bucket, multipart, 1, 0)
        const headers = { contentType: 'image/png', contentDisposition: disposition }
        assert.equal(await bucket.complete(multipart, [empty], headers, options), 'completed')
        assert.equal((await bucket.head('key', options))?.size, 0)
        assert.deepEqual(await served('key'), headers)
        assert.equal(await begun(bucket, ''), '')
      },
    ],
    [
      'complete of 40 parts of which one was removed: invalid; of which all were: missing; no object',
      async ({ bucket, open }) => {
        const multipart = await begin(bucket, 'key')
        const parts = []
        for (let n = 1; n <= 40; n++) parts.push(await part(bucket, multipart, n, 10))
        const stored = await gather(open('.parts/').list('key/', options))
        await open('.parts/').delete(stored[5]!.key, options)
        assert.equal(await bucket.complete(multipart, parts, {}, options), 'invalid')
        for (const { key } of stored) await open('.parts/').delete(key, options)
        assert.equal(await bucket.complete(multipart, parts, {}, options), 'missing')
        assert.equal(await bucket.head('key', options), null)
      },
    ],
    [
      'complete with a part of another size than named: invalid, no object, completed with the right one',
      async ({ bucket }) => {
        const multipart = await begin(bucket, 'key')
        const only = await part(bucket, multipart, 1, 10)
        assert.equal(await bucket.complete(multipart, [{ ...only, size: 11 }], {}, options), 'invalid')
        assert.equal(await bucket.head('key', options), null)
        assert.equal(await bucket.complete(multipart, [only], {}, options), 'completed')
      },
    ],
    [
      'parts of the same number by two writers at once: each is completed as its own',
      async ({ bucket }) => {
        const multipart = await begin(bucket, 'key')
        const [one, two] = await Promise.all([10, 20].map((size) => part(bucket, multipart, 1, size)))
        assert.equal(await bucket.complete(multipart, [one!], {}, options), 'completed')
        await expectObject(bucket, 'key', bytesOf(10, 1))
        assert.equal(await bucket.complete(multipart, [two!], {}, options), 'completed')
        await expectObject(bucket, 'key', bytesOf(20, 1))
      },
    ],
  ]

  suite(`Google Cloud Storage driver on ${name}`, () => {
    for (const { title, run } of bucketCases) if (!otherwise.includes(title)) test(title, () => run(context()))
    for (const [title, run] of mine) test(title, () => run(context()))

    test('the cases that do not hold here: are cases of the suite', () => {
      const titles = bucketCases.map(({ title }) => title)
      assert.deepEqual(
        otherwise.filter((title) => !titles.includes(title)),
        [],
      )
    })

    test('check of a bucket that is not there: the message says so', async () => {
      const bucket = gcsBucket({ bucket: `${bucketName}-missing`, endpoint })
      const error = await failure(bucket.check(options))
      assert.equal(`${error.code} ${error.transient}`, 'unavailable false', error.message)
      assert.match(error.message, /^gs:\/\/[^ ]*-missing\/: check: 404/)
    })
  })
}

async function begin(bucket: Bucket, key: string) {
  return { key, multipartId: await bucket.createMultipart(key, {}, options) }
}

/** Its bytes follow from its number. */
async function part(bucket: Bucket, multipart: { key: string; multipartId: string }, partNumber: number, size: number) {
  const etag = await bucket.putPart(multipart, partNumber, bytesOf(size, partNumber), options)
  return { partNumber, etag: etag ?? assert.fail('no part'), size }
}

async function begun(bucket: Bucket, prefix: string): Promise<string> {
  return names(await gather(bucket.multiparts(prefix, options)))
}

function names(multiparts: readonly { key: string; multipartId: string }[]): string {
  return multiparts
    .map(({ key, multipartId }) => `${key} ${multipartId}`)
    .toSorted()
    .join()
}
