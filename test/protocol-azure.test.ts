/** The protocol suites on Azure Blob Storage, which Azurite stands for. */
import { startAzurite } from './servers/azurite.ts'
import { azureStoreOf } from './servers/stores.ts'
import { runOnServer } from './run-on-server.ts'

await runOnServer('azure', startAzurite, azureStoreOf)
