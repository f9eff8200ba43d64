/** The permissions that the store's documentation asks for, on a server that enforces them. */
import { AwsClient } from 'aws4fetch'
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { S3Credentials } from '../../src/stores/s3.ts'
import type { S3Server } from '../servers/s3.ts'
import { credentialsOf, openBucket } from './s3-server.ts'
import { failure, options } from './suite-support.ts'
import { bucketCases } from './suite.ts'

const onObjects = ['s3:PutObject', 's3:GetObject', 's3:DeleteObject', 's3:AbortMultipartUpload']
/** Asked for only where something has failed. */
const onParts = 's3:ListMultipartUploadParts'
const onBucket = ['s3:ListBucket', 's3:ListBucketMultipartUploads']

export async function permissions(server: S3Server): Promise<void> {
  const bucket = await server.newBucket()
  const prefix = 'below here/'

  /** Credentials with no more than these permissions. */
  async function role(allowed: readonly string[]): Promise<S3Credentials> {
    const statement = (actions: readonly string[], resource: string) => ({
      Effect: 'Allow',
      Action: actions.filter((action) => allowed.includes(action)),
      Resource: `arn:aws:s3:::${resource}`,
    })
    const statements = [statement([...onObjects, onParts], `${bucket}/${prefix}*`), statement(onBucket, bucket)]
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: statements.filter(({ Action }) => Action.length > 0),
    })
    const client = new AwsClient({ ...credentialsOf(server), region: server.region, service: 'sts' })
    const answer = await client.fetch(server.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ Action: 'AssumeRole', Version: '2011-06-15', Policy }).toString(),
    })
    const text = await answer.text()
    const part = (name: string): string => new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1] ?? assert.fail(text)
    return {
      accessKeyId: part('AccessKeyId'),
      secretAccessKey: part('SecretAccessKey'),
      sessionToken: part('SessionToken'),
      expiration: new Date(part('Expiration')),
    }
  }

  suite(`${server.name}, permissions`, () => {
    test('all that the documentation asks for: check and every case of the suite pass', async () => {
      const credentials = await role([...onObjects, onParts, ...onBucket])
      let asked = 0
      const provider = () => (asked++, Promise.resolve(credentials))
      const open = (suffix: string) => openBucket(server, { bucket, prefix: prefix + suffix, credentials: provider })
      await open('').check(options)
      assert.equal(asked, 1)
      let count = 0
      for (const { title, run } of bucketCases) {
        const mine = `${++count}/`
        if (title.includes('served with')) continue
        await run({ bucket: open(mine), open: (suffix) => open(mine + suffix), served: () => assert.fail(title) })
      }
      assert.ok(count > 40)
    })

    test(`without ${onParts}: check does not mind`, async () => {
      const credentials = await role([...onObjects, ...onBucket])
      await openBucket(server, { bucket, prefix, credentials }).check(options)
    })

    for (const without of [...onObjects, ...onBucket]) {
      test(`without ${without}: check says so`, async () => {
        const credentials = await role([...onObjects, ...onBucket].filter((action) => action !== without))
        const error = await failure(openBucket(server, { bucket, prefix, credentials }).check(options))
        assert.equal(`${error.code} ${error.transient}`, 'unavailable false')
        assert.match(error.message, /403 AccessDenied/)
        assert.ok(error.message.includes(`${without} `), error.message)
      })
    }
  })
}
