/** The Azure driver against Azurite, the service's own emulator. */
import assert from 'node:assert/strict'
import { after, describe, test as nodeTest } from 'node:test'
import { BlobSASPermissions, BlobServiceClient, ContainerSASPermissions } from '@azure/storage-blob'
import { azureBucket, type AzureBucketOptions } from '../../src/buckets/azure.ts'
import { startAzurite } from '../servers/azurite.ts'
import { bytesOf, concat } from '../suites/bodies.ts'
import { azure } from '../support/storage-dialects.ts'
import { startStorageProxy } from '../support/storage-proxy.ts'
import { expectObject, failure, gather, listing, options, put } from './suite-support.ts'
import { bucketCases } from './suite.ts'

/*
 * Azure has blocks, but no multiparts that could be refused or listed when there are no blocks. The tests of those titles
 * are below, with the outcomes that Azure allows.
 */
const ownOutcomes = [
  'abort: parts refused, complete finds nothing, no object; once more: fine',
  'putPart after complete: null; abort after complete: the object stays',
  'multiparts by a prefix: those begun and not ended, with their times, nothing of the neighbours',
  'copyPart of an object that is not there: corrupt; into a multipart that is not there: null',
]

const test = (title: string, run: () => void | Promise<void>) => nodeTest(title, { timeout: 60_000 }, run)

const server = await startAzurite()

void describe('Azure', { skip: server === null }, () => {
  if (server === null) return
  after(() => server.stop())
  const { connectionString } = server
  const accountKey = /AccountKey=([^;]+)/.exec(connectionString)?.[1] ?? ''
  const service = BlobServiceClient.fromConnectionString(connectionString)
  const containerName = server.newContainer()
  const expiresOn = new Date(Date.now() + 3_600_000)

  /** An empty part of the container, and the options to open it. */
  async function place(): Promise<AzureBucketOptions & { container: string; prefix: string }> {
    return { container: await containerName, connectionString, prefix: `${crypto.randomUUID()}/` }
  }

  async function sasUrl(permissions: string, when = expiresOn): Promise<string> {
    const container = service.getContainerClient(await containerName)
    const sas = { permissions: ContainerSASPermissions.parse(permissions), expiresOn: when }
    return `${service.url.replace(/\/$/, '')}?${new URL(await container.generateSasUrl(sas)).searchParams}`
  }

  for (const { title, run } of bucketCases.filter((one) => !ownOutcomes.includes(one.title))) {
    void test(title, async () => {
      const where = await place()
      const open = (suffix: string) => azureBucket({ ...where, prefix: where.prefix + suffix })
      const served = async (key: string) => {
        const blob = service.getContainerClient(where.container).getBlobClient(where.prefix + key)
        const { headers } = await fetch(
          await blob.generateSasUrl({ permissions: BlobSASPermissions.parse('r'), expiresOn }),
          { method: 'HEAD' },
        )
        return {
          contentType: headers.get('content-type') ?? '',
          contentDisposition: headers.get('content-disposition') ?? '',
        }
      }
      await run({ bucket: open(''), open, served })
    })
  }

  void test('every outcome of its own replaces a case of the suite', () => {
    assert.deepEqual(
      ownOutcomes.filter((title) => bucketCases.every((one) => one.title !== title)),
      [],
    )
  })

  void test('abort: the blocks are freed, complete finds nothing; once more, and without parts: fine', async () => {
    const bucket = azureBucket(await place())
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    await bucket.abort(multipart, options)
    const etag = await bucket.putPart(multipart, 1, bytesOf(1000), options)
    assert.equal((await gather(bucket.multiparts('', options))).length, 1)
    await bucket.abort(multipart, options)
    await bucket.abort(multipart, options)
    assert.deepEqual(await gather(bucket.multiparts('', options)), [])
    const parts = [{ partNumber: 1, etag: etag ?? '', size: 1000 }]
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'missing')
    assert.equal(await bucket.head('key', options), null)
    assert.equal(await listing(bucket, ''), '')
  })

  void test('a part sent after an abort: in no object, and freed by another abort', async () => {
    const bucket = azureBucket(await place())
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const first = await bucket.putPart(multipart, 1, bytesOf(10), options)
    await bucket.abort(multipart, options)
    const second = await bucket.putPart(multipart, 2, bytesOf(10), options)
    const parts = [first, second].map((etag, i) => ({ partNumber: i + 1, etag: etag ?? '', size: 10 }))
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'invalid')
    assert.equal(await bucket.head('key', options), null)
    await bucket.abort(multipart, options)
    assert.deepEqual(await gather(bucket.multiparts('', options)), [])
  })

  void test('a part sent after complete, an abort, a complete without it: the object stays as it is', async () => {
    const bucket = azureBucket(await place())
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const etag = await bucket.putPart(multipart, 1, bytesOf(1000), options)
    const parts = [{ partNumber: 1, etag: etag ?? '', size: 1000 }]
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
    const late = await bucket.putPart(multipart, 2, bytesOf(10), options)
    await bucket.abort(multipart, options)
    await expectObject(bucket, 'key', bytesOf(1000))
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
    await expectObject(bucket, 'key', bytesOf(1000))
    const withLate = [...parts, { partNumber: 2, etag: late ?? '', size: 10 }]
    assert.equal(await bucket.complete(multipart, withLate, {}, options), 'invalid', 'the commit has dropped it')
    await expectObject(bucket, 'key', bytesOf(1000))
  })

  void test('abort where a blob was put at the same name: the blob stays', async () => {
    for (const size of [0, 1000]) {
      const bucket = azureBucket(await place())
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      await put(bucket, 'key', bytesOf(size))
      await bucket.putPart(multipart, 1, bytesOf(10), options)
      await bucket.abort(multipart, options)
      await expectObject(bucket, 'key', bytesOf(size))
      await put(bucket, 'key', bytesOf(5))
    }
  })

  void test('abort of a completed multipart that fails half-way: the object can be replaced and removed at once', async () => {
    await using proxy = await startStorageProxy(server.endpoint, { dialect: azure })
    const where = await place()
    const bucket = azureBucket({ ...where, connectionString: server.connectionStringVia(proxy.origin) })
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const etag = await bucket.putPart(multipart, 1, bytesOf(10), options)
    const parts = [{ partNumber: 1, etag: etag ?? '', size: 10 }]
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
    const fault = { is: 'status', status: 503 } as const
    proxy.plan({ fault, on: 'GetBlockList' }, { fault, on: 'LeaseBlob', skip: 1 })
    await bucket.abort(multipart, options).catch(() => {})
    await bucket.putPart(multipart, 2, bytesOf(20), options)
    await put(bucket, 'key', bytesOf(20))
    await bucket.delete('key', options)
  })

  void test('abort while another multipart has parts at the same name: both stay, until the other has ended', async () => {
    const bucket = azureBucket(await place())
    const [one, two] = [
      await bucket.createMultipart('key', {}, options),
      await bucket.createMultipart('key', {}, options),
    ]
    await bucket.putPart({ key: 'key', multipartId: one }, 1, bytesOf(10), options)
    const etag = await bucket.putPart({ key: 'key', multipartId: two }, 1, bytesOf(20), options)
    await bucket.abort({ key: 'key', multipartId: one }, options)
    const found = (await gather(bucket.multiparts('', options))).map(({ multipartId }) => multipartId)
    assert.deepEqual(found.toSorted(), [one, two].toSorted())
    const parts = [{ partNumber: 1, etag: etag ?? '', size: 20 }]
    assert.equal(await bucket.complete({ key: 'key', multipartId: two }, parts, {}, options), 'completed')
    assert.deepEqual(await gather(bucket.multiparts('', options)), [])
  })

  void test('a put, a part, a delete while other software holds a lease on the blob: transient failures, the lease stays', async () => {
    const where = await place()
    const bucket = azureBucket(where)
    await put(bucket, 'key', bytesOf(10))
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const blob = service.getContainerClient(where.container).getBlobClient(`${where.prefix}key`)
    for (const seconds of [15, -1]) {
      const lease = blob.getBlobLeaseClient()
      await lease.acquireLease(seconds)
      for (const call of [
        () => bucket.putPart(multipart, 2, bytesOf(10), options),
        () => bucket.put('key', bytesOf(10), {}, options),
        () => bucket.delete('key', options),
      ]) {
        const error = await failure(call())
        assert.equal(error.transient, true, error.message)
        assert.match(error.message, /lease/)
      }
      // It needs none where there is a blob.
      await bucket.abort(multipart, options)
      await lease.releaseLease()
    }
    await expectObject(bucket, 'key', bytesOf(10))
  })

  /** A process that died while it aborted a multipart, after the lease or after the commit that drops its blocks. */
  async function dieInAbort(isCommitted: boolean) {
    const where = await place()
    const bucket = azureBucket(where)
    const dead = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    await bucket.putPart(dead, 1, bytesOf(10), options)
    const blob = service.getContainerClient(where.container).getBlockBlobClient(`${where.prefix}key`)
    const lease = blob.getBlobLeaseClient()
    await lease.acquireLease(15)
    const { leaseId } = lease
    const commit = () =>
      blob.commitBlockList([], { metadata: { fileloftfreed: '1' }, conditions: { leaseId, ifNoneMatch: '*' } })
    if (isCommitted) await commit()
    const remove = () => blob.delete({ conditions: { leaseId } })
    return { bucket, dead, commit, remove }
  }

  for (const isCommitted of [false, true]) {
    const where = isCommitted ? 'with the blocks dropped and an empty blob in their place' : 'with a lease taken'
    void test(`an abort that died ${where}: whoever comes next does not wait for the lease`, async () => {
      for (const next of ['putPart', 'put', 'delete', 'abort', 'copyPart'] as const) {
        const { bucket, dead } = await dieInAbort(isCommitted)
        if (next === 'putPart' || next === 'copyPart') {
          await put(bucket, 'source', bytesOf(20))
          const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
          const source = { key: 'source', range: { start: 0, end: 20 } }
          const etag = await (next === 'putPart'
            ? bucket.putPart(multipart, 1, bytesOf(20), options)
            : bucket.copyPart!(multipart, 1, source, options))
          const parts = [{ partNumber: 1, etag: etag ?? '', size: 20 }]
          assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
          await bucket.delete('source', options)
          await expectObject(bucket, 'key', bytesOf(20))
        } else if (next === 'put') {
          await put(bucket, 'key', bytesOf(20))
          await expectObject(bucket, 'key', bytesOf(20))
        } else {
          await (next === 'delete' ? bucket.delete('key', options) : bucket.abort(dead, options))
          assert.equal(await listing(bucket, ''), '')
        }
      }
    })

    void test(`an abort paused ${where}: what somebody else sends meanwhile stays`, async () => {
      const { bucket, commit, remove } = await dieInAbort(isCommitted)
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const etag = await bucket.putPart(multipart, 1, bytesOf(20), options)
      await assert.rejects(isCommitted ? remove() : commit(), { statusCode: 412 })
      const parts = [{ partNumber: 1, etag: etag ?? '', size: 20 }]
      assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
      await expectObject(bucket, 'key', bytesOf(20))
    })
  }

  void test('multiparts by a prefix: those with parts, with the times of their beginning, nothing else', async () => {
    const where = await place()
    const bucket = azureBucket(where)
    const begin = async (key: string, from = bucket) => {
      const multipart = { key, multipartId: await from.createMultipart(key, {}, options) }
      const etag = await from.putPart(multipart, 1, bytesOf(10), options)
      return { multipart, parts: [{ partNumber: 1, etag: etag ?? '', size: 10 }] }
    }
    const before = Date.now()
    const ended = await begin('a/ended')
    assert.equal(await bucket.complete(ended.multipart, ended.parts, {}, options), 'completed')
    const wanted = [await begin('a/x y+z'), await begin('a/b'), await begin('a/b')].map((one) => one.multipart)
    const outside = [
      (await begin('b')).multipart,
      (await begin('a/b', azureBucket({ ...where, prefix: `${where.prefix.slice(0, -1)}x` }))).multipart,
    ]
    await put(bucket, 'a/empty', bytesOf(0))
    // Of other software.
    const foreign = service.getContainerClient(where.container).getBlockBlobClient(`${where.prefix}a/foreign`)
    await foreign.stageBlock(btoa('0001'), 'abc', 3)
    const found = await gather(bucket.multiparts('a/', options))
    const names = (list: readonly { key: string; multipartId: string }[]) =>
      list.map(({ key, multipartId }) => `${key} ${multipartId}`).toSorted()
    assert.deepEqual(names(found), names(wanted))
    for (const { createdAt } of found) assert.ok(createdAt >= before - 1 && createdAt <= Date.now(), String(createdAt))
    assert.deepEqual(names(await gather(bucket.multiparts('', options))), names([...wanted, ...outside.slice(0, 1)]))
    assert.equal(await listing(bucket, ''), 'a/empty 0,a/ended 10')
  })

  void test('1,000 parts: completed in the order named', async () => {
    const bucket = azureBucket(await place())
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const parts: { partNumber: number; etag: string; size: number }[] = []
    const left = Array.from({ length: 1000 }, (_, i) => i + 1)
    const send = async () => {
      for (let n = left.pop(); n !== undefined; n = left.pop()) {
        const etag = await bucket.putPart(multipart, n, bytesOf((n % 7) + 1, n), options)
        parts.push({ partNumber: n, etag: etag ?? '', size: (n % 7) + 1 })
      }
    }
    await Promise.all(Array.from({ length: 8 }, send))
    parts.sort((a, b) => a.partNumber - b.partNumber)
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
    await expectObject(bucket, 'key', concat(parts.map(({ partNumber: n }) => bytesOf((n % 7) + 1, n))))
  })

  void test('copyPart of what is not there, or not wholly: corrupt', async () => {
    const bucket = azureBucket(await place())
    await put(bucket, 'source', bytesOf(1000))
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    for (const [key, start, end] of [
      ['missing', 0, 10],
      ['source', 2000, 2010],
    ] as const) {
      const error = await failure(bucket.copyPart!(multipart, 1, { key, range: { start, end } }, options))
      assert.equal(`${error.code} ${error.transient}`, 'corrupt false', error.message)
    }
  })

  void test('copyPart of a key too long for a source URL: copied all the same', async () => {
    const bucket = azureBucket(await place())
    const key = '語'.repeat(300)
    await put(bucket, key, bytesOf(3 << 20))
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const range = { start: 1000, end: (3 << 20) - 1000 }
    const etag = await bucket.copyPart!(multipart, 1, { key, range }, options)
    const parts = [{ partNumber: 1, etag: etag ?? '', size: range.end - range.start }]
    assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
    await expectObject(bucket, 'key', bytesOf(3 << 20).slice(1000, -1000))
    const missing = failure(bucket.copyPart!(multipart, 1, { key: `${key}x`, range }, options))
    assert.equal((await missing).code, 'corrupt')
  })

  void test("a SAS with rcwdl, as endpoint or connection string, or a client of one's own: everything works", async () => {
    const { container, prefix } = await place()
    const endpoint = await sasUrl('rcwdl')
    const [base, sas] = endpoint.split('?')
    const connections: AzureBucketOptions[] = [
      { container, endpoint },
      { container, connectionString: `BlobEndpoint=${base};SharedAccessSignature=${sas}` },
      { container: service.getContainerClient(container) },
    ]
    for (const [i, connection] of connections.entries()) {
      const bucket = azureBucket({ ...connection, prefix: `${prefix}${i}+ü/` })
      await bucket.check(options)
      await put(bucket, 'source', bytesOf(1000))
      const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
      const sent = await bucket.putPart(multipart, 1, bytesOf(5), options)
      const copied = await bucket.copyPart!(multipart, 2, { key: 'source', range: { start: 5, end: 15 } }, options)
      const parts = [sent, copied].map((etag, n) => ({ partNumber: n + 1, etag: etag ?? '', size: 5 }))
      assert.equal(await bucket.complete(multipart, parts, {}, options), 'completed')
      await expectObject(bucket, 'key', concat([bytesOf(5), bytesOf(1000).slice(5, 15)]))
      const given = { key: 'given', multipartId: await bucket.createMultipart('given', {}, options) }
      await bucket.putPart(given, 1, bytesOf(5), options)
      await bucket.abort(given, options)
      await bucket.delete('key', options)
      await bucket.delete('source', options)
      assert.equal(await listing(bucket, ''), '')
      assert.deepEqual(await gather(bucket.multiparts('', options)), [])
      assert.ok(!bucket.name.includes('sig='), bucket.name)
    }
  })

  void test('check that fails: says in one line what is wrong and what to do, without secrets, nothing left behind', async () => {
    const { container, prefix } = await place()
    const otherKey = connectionString.replace(accountKey, btoa('x'.repeat(64)))
    const cases: [RegExp, AzureBucketOptions][] = [
      [/: 404 ContainerNotFound: the container does not exist: create it/, { container: 'missing', connectionString }],
      [/: 403 AuthorizationFailure: .*wrong/, { container, connectionString: otherKey }],
      [/: 403 AuthorizationPermissionMismatch: .*rcwdl/, { container, endpoint: await sasUrl('r') }],
      [/: 403 AuthorizationPermissionMismatch: .*rcwdl/, { container, endpoint: await sasUrl('rcwd') }],
      [/: 403 AuthorizationPermissionMismatch: .*rcwdl/, { container, endpoint: await sasUrl('rcwl') }],
      [/: 403 AuthorizationFailure: /, { container, endpoint: await sasUrl('rcwdl', new Date(Date.now() - 60_000)) }],
    ]
    for (const [message, connection] of cases) {
      const error = await failure(azureBucket({ ...connection, prefix }).check(options))
      assert.match(error.message, message)
      assert.equal(`${error.code} ${error.transient}`, 'unavailable false')
      assert.ok(!/sig=|sig%3D|AccountKey|\n/.test(error.message) && !error.message.includes(accountKey), error.message)
    }
  })

  void test('any call on a container that does not exist: a failure, never an answer that something is missing', async () => {
    const bucket = azureBucket({ container: 'missing', connectionString })
    const multipart = { key: 'key', multipartId: await bucket.createMultipart('key', {}, options) }
    const parts = [{ partNumber: 1, etag: btoa('x'.repeat(36)), size: 10 }]
    for (const [name, call] of Object.entries({
      get: () => bucket.get('key', null, options),
      'get with a range': () => bucket.get('key', { start: 0, end: 10 }, options),
      read: () => gather(bucket.read('key', { start: 0, end: 10 }, options)),
      head: () => bucket.head('key', options),
      put: () => bucket.put('key', bytesOf(10), {}, options),
      'put with ifMatch': () => bucket.put('key', bytesOf(10), { ifMatch: '"0x1"' }, options),
      delete: () => bucket.delete('key', options),
      list: () => listing(bucket, ''),
      putPart: () => bucket.putPart(multipart, 1, bytesOf(10), options),
      copyPart: () => bucket.copyPart!(multipart, 1, { key: 'source', range: { start: 0, end: 10 } }, options),
      complete: () => bucket.complete(multipart, parts, {}, options),
      abort: () => bucket.abort(multipart, options),
      multiparts: () => gather(bucket.multiparts('', options)),
    })) {
      const error = await failure(call())
      assert.equal(`${error.code} ${error.transient}`, 'unavailable false', `${name}: ${error.message}`)
      assert.match(error.message, /ContainerNotFound/, name)
    }
  })
})
