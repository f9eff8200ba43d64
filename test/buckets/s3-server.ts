/** The S3 driver on a real server: the conformance suite, and what `check` says where something is wrong. */
import { AwsClient } from 'aws4fetch'
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { encodeKey } from '../../src/buckets/s3-client.ts'
import { s3Bucket } from '../../src/buckets/s3.ts'
import { storageFetch } from '../../src/node/storage-fetch.ts'
import type { S3Options } from '../../src/stores/s3.ts'
import type { S3Server } from '../servers/s3.ts'
import { failure, options } from './suite-support.ts'
import { bucketCases } from './suite.ts'

/** @param fetch What the driver is given; without it, it takes the global one. */
export async function conformance(server: S3Server, fetch: S3Options['fetch'] | null): Promise<void> {
  const { endpoint, region } = server
  const bucket = await server.newBucket()
  const direct = new AwsClient({ ...credentialsOf(server), region, service: 's3' })
  let count = 0
  suite(`${server.name}, ${fetch === null ? 'fetch' : 'storageFetch'}`, () => {
    for (const { title, run } of bucketCases) {
      test(title, async () => {
        const prefix = `case ${++count}/`
        const open = (suffix: string) =>
          openBucket(server, { bucket, prefix: prefix + suffix, ...(fetch && { fetch }) })
        await run({
          bucket: open(''),
          open,
          wantsEveryPart: server.wantsEveryPart ?? false,
          async served(key) {
            const answer = await direct.fetch(`${endpoint}/${bucket}/${encodeKey(prefix + key)}`)
            await answer.arrayBuffer()
            return {
              contentType: answer.headers.get('content-type') ?? '',
              contentDisposition: answer.headers.get('content-disposition') ?? '',
            }
          },
        })
      })
    }
  })
}

export async function checks(server: S3Server): Promise<void> {
  const bucket = await server.newBucket()
  const wrong: readonly (readonly [title: string, Partial<S3Options>, message: RegExp])[] = [
    [
      'a bucket that is not there',
      { bucket: 'not-there' },
      /^s3:\/\/not-there\/: PutObject was answered with 404 NoSuchBucket\b.*: create the bucket not-there, or name another$/,
    ],
    [
      'an access key id that is not known',
      { credentials: { accessKeyId: 'nobody', secretAccessKey: 'hidden-secret' } },
      /40\d (InvalidAccessKeyId|XAdminUserNotFound)\b.*: the service does not know this access key id/,
    ],
    [
      'a wrong secret',
      { credentials: { ...credentialsOf(server), secretAccessKey: 'hidden-secret' } },
      /403 SignatureDoesNotMatch\b.*: check the secret access key/,
    ],
  ]
  suite(`${server.name}, check`, () => {
    for (const [title, options_, message] of wrong) {
      test(`${title}: unavailable, with what to do`, async () => {
        const error = await failure(openBucket(server, { bucket, ...options_ }).check(options))
        assert.equal(error.code, 'unavailable')
        assert.equal(error.transient, false)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /hidden|\n/)
      })
    }

    const region = 'eu-west-3'
    if (server.takesAnyRegion === true) {
      test('another region: taken', () => openBucket(server, { bucket, region }).check(options))
    } else {
      test('another region: unavailable, with the right one', async () => {
        const error = await failure(openBucket(server, { bucket, region }).check(options))
        assert.match(error.message, /400 AuthorizationHeaderMalformed .*: .*region us-east-1, not eu-west-3/)
        assert.equal(error.transient, false)
      })
    }

    test('a clock an hour late: unavailable, by how much', async (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3_600_000 })
      const error = await failure(openBucket(server, { bucket }).check(options))
      assert.match(error.message, /RequestTimeTooSkewed\b.*: set this machine's clock: it differs .* by 60 minutes$/)
      assert.equal(error.transient, false)
    })

    test('a server that is not there: transient', async () => {
      const error = await failure(openBucket(server, { bucket, endpoint: 'http://127.0.0.1:9' }).check(options))
      assert.match(error.message, /^s3:.*: PutObject failed: .*(ECONNREFUSED|bad port)/)
    })
  })
}

export function openBucket(server: S3Server, options: Partial<S3Options> & { readonly bucket: string }) {
  return s3Bucket({ endpoint: server.endpoint, region: server.region, credentials: credentialsOf(server), ...options })
}

export function credentialsOf({ accessKeyId, secretAccessKey }: S3Server) {
  return { accessKeyId, secretAccessKey }
}

export const nodeFetch = storageFetch()
