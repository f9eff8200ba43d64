import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBucket } from '../buckets/s3-server.ts'
import { failure, options } from '../buckets/suite-support.ts'
import { startSeaweedfs } from '../servers/seaweedfs.ts'
import { runService } from './run-service.ts'

const server = await startSeaweedfs()
await runService('seaweedfs', () => Promise.resolve(server))

if (server !== null) {
  test('SeaweedFS, a prefix with a double slash, which it takes for a single one: the start is told', async () => {
    const bucket = openBucket(server, { bucket: await server.newBucket(), prefix: 'a//b/' })
    assert.match((await failure(bucket.check(options))).message, /is not listed under that name: choose a prefix/)
  })
}
