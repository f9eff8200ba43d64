import { startVersitygw } from '../servers/versitygw.ts'
import { runService } from './run-service.ts'

await runService('versitygw', startVersitygw)
