import { startFakeGcs } from '../servers/fake-gcs.ts'
import { testFaults } from './storage-suite.ts'
import { gcsView } from './storage-views.ts'

await testFaults('GCS', startFakeGcs, gcsView, ['InsertObject', 'ComposeObject'])
