import { startSeaweedfs } from '../servers/seaweedfs.ts'
import { testFaults } from './storage-suite.ts'
import { s3View } from './storage-views.ts'

await testFaults('SeaweedFS', startSeaweedfs, s3View, ['UploadPart', 'PutObject', 'CompleteMultipartUpload'])
