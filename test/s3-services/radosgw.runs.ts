import { startRadosgw } from '../servers/radosgw.ts'
import { runService } from './run-service.ts'

await runService('radosgw', startRadosgw)
