import { startRadosgw } from '../servers/radosgw.ts'
import { testFaults } from './storage-suite.ts'
import { s3View } from './storage-views.ts'

await testFaults("Ceph's gateway", startRadosgw, s3View, ['UploadPart', 'PutObject', 'CompleteMultipartUpload'])
