import { startMinio } from '../servers/minio.ts'
import { testFaults } from './storage-suite.ts'
import { s3View } from './storage-views.ts'

await testFaults('S3', startMinio, s3View, ['UploadPart', 'PutObject', 'CompleteMultipartUpload'])
