/** The S3 driver on MinIO. */
import { after } from 'node:test'
import { startMinio } from '../servers/minio.ts'
import { permissions } from './s3-permissions.ts'
import { checks, conformance, nodeFetch } from './s3-server.ts'

const minio = await startMinio()
if (minio !== null) {
  after(() => minio.stop())
  await conformance(minio, null)
  await conformance(minio, nodeFetch)
  await checks(minio)
  await permissions(minio)
}
