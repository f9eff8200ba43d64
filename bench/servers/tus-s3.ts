/** @tus/server on @tus/s3-store, with the settings of its README. */
import { S3Store } from '@tus/s3-store'
import { serveTus } from './serve-tus.ts'

const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '', AWS_REGION = '', S3_BUCKET = '' } = process.env
const { S3_ENDPOINT = '' } = process.env

serveTus(
  new S3Store({
    partSize: 8 * 1024 * 1024,
    s3ClientConfig: {
      bucket: S3_BUCKET,
      region: AWS_REGION,
      endpoint: S3_ENDPOINT,
      forcePathStyle: true,
      credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
    },
  }),
)
