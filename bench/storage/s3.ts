import { AwsClient } from 'aws4fetch'
import { startMinio } from '../../test/servers/minio.ts'
import { s3 } from '../../test/support/storage-dialects.ts'
import { type BenchStorage, bodyOf } from './storage.ts'

/** MinIO. */
export async function startS3Storage(): Promise<BenchStorage | null> {
  const server = await startMinio()
  if (server === null) return null
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const bucket = await server.newBucket()
  const client = new AwsClient({ accessKeyId, secretAccessKey, region, service: 's3' })
  const ask = async (method: string, key: string) => {
    const answer = await client.fetch(`${endpoint}/${bucket}/${key}`, { method })
    if (!answer.ok) throw new Error(`${method} of ${key} was answered ${answer.status}`)
    return answer
  }
  const account = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region }
  return {
    title: server.name,
    dialect: s3,
    endpoint,
    reach: (origin) => ({
      fileloft: { ...account, FILELOFT_S3_BUCKET: bucket, FILELOFT_S3_ENDPOINT: origin },
      tusNode: { ...account, S3_BUCKET: bucket, S3_ENDPOINT: origin },
      tusd: { args: ['-s3-bucket', bucket, '-s3-endpoint', origin], environment: account },
    }),
    size: async (key) => Number((await ask('HEAD', key)).headers.get('content-length')),
    read: async (key) => bodyOf(await ask('GET', key)),
    stop: () => server.stop(),
  }
}
