import { startVersitygw } from '../servers/versitygw.ts'
import { testFaults } from './storage-suite.ts'
import { s3View } from './storage-views.ts'

await testFaults('Versity S3 Gateway', startVersitygw, s3View, ['UploadPart', 'PutObject', 'CompleteMultipartUpload'])
