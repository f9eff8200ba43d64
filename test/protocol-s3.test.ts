/** The protocol suites on S3, which MinIO stands for. */
import { startMinio } from './servers/minio.ts'
import { s3StoreOf } from './servers/stores.ts'
import { runOnServer } from './run-on-server.ts'

await runOnServer('s3', startMinio, s3StoreOf)
