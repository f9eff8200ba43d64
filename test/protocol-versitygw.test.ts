/** The protocol suites on another server that speaks S3, the Versity S3 Gateway. */
import { s3StoreOf } from './servers/stores.ts'
import { startVersitygw } from './servers/versitygw.ts'
import { runOnServer } from './run-on-server.ts'

await runOnServer('versitygw', startVersitygw, s3StoreOf)
