import { startSeaweedfs } from '../servers/seaweedfs.ts'
import { runService } from './run-service.ts'

await runService('seaweedfs', startSeaweedfs)
