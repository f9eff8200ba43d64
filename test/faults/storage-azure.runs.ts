import { startAzurite } from '../servers/azurite.ts'
import { testFaults } from './storage-suite.ts'
import { azureView } from './storage-views.ts'

await testFaults('Azure', startAzurite, azureView, ['PutBlock', 'PutBlob', 'PutBlockList'])
