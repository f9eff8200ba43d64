/** The protocol suites on Google Cloud Storage, which fake-gcs-server stands for. */
import { startFakeGcs } from './servers/fake-gcs.ts'
import { gcsStoreOf } from './servers/stores.ts'
import { runOnServer } from './run-on-server.ts'

await runOnServer('gcs', startFakeGcs, gcsStoreOf)
