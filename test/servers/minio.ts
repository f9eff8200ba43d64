/** MinIO, the S3 server that most people run themselves. */
import { startProgram } from './program.ts'
import { type S3Server, s3FromEnvironment, s3Server, testAccount } from './s3.ts'
import { findProgram } from './versions.ts'

/** Starts it with a single drive; null where it is not installed. `TEST_S3_ENDPOINT` is taken instead where set. */
export async function startMinio(region = testAccount.region): Promise<S3Server | null> {
  const elsewhere = s3FromEnvironment('TEST_S3')
  if (elsewhere !== null) return elsewhere
  const command = findProgram('minio')
  if (command === null) return null
  const program = await startProgram({
    name: 'MinIO',
    command,
    args: ({ port, folder }) => ['server', '--quiet', '--address', `127.0.0.1:${port}`, `${folder}/data`],
    env: {
      MINIO_ROOT_USER: testAccount.accessKeyId,
      MINIO_ROOT_PASSWORD: testAccount.secretAccessKey,
      // Otherwise it takes signatures for any region.
      MINIO_SITE_REGION: region,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
      MINIO_COMPRESSION_ENABLE: 'off',
    },
    ready: { path: '/minio/health/ready' },
  })
  return s3Server(
    { ...program, name: 'MinIO', endpoint: `http://127.0.0.1:${program.port}` },
    { ...testAccount, region },
  )
}
