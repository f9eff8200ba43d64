import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesOf } from '../suites/bodies.ts'
import { openBucket } from '../buckets/s3-server.ts'
import { expectObject, failure, options } from '../buckets/suite-support.ts'
import { startVersitygw } from '../servers/versitygw.ts'
import { s3 } from '../support/storage-dialects.ts'
import { startStorageProxy } from '../support/storage-proxy.ts'
import { runService } from './run-service.ts'

const server = await startVersitygw()
await runService('versitygw', () => Promise.resolve(server))

if (server !== null) {
  test('Versity S3 Gateway, which takes a cut body for a whole one: it does not take the place of an object', async () => {
    await using proxy = await startStorageProxy(server.endpoint, { dialect: s3 })
    const bucket = openBucket({ ...server, endpoint: proxy.origin }, { bucket: await server.newBucket() })
    const version = await bucket.put('key', bytesOf(1000), { ifNoneMatch: '*' }, options)
    proxy.plan({ fault: { is: 'reset-request', after: 0.7 } })
    const replaced = bucket.put('key', bytesOf(4_000_000), { ifMatch: version ?? '' }, options)
    assert.equal((await failure(replaced)).transient, true)
    // It hears of the end a moment later.
    for (let look = 0; look < 50; look++) await expectObject(bucket, 'key', bytesOf(1000))
  })
}
