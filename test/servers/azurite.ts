/** Azurite, Microsoft's own emulator of Azure Blob Storage. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { BlobServiceClient } from '@azure/storage-blob'
import { freshName, type RunningServer, running, startProgram } from './program.ts'
import { missing } from './versions.ts'

export interface AzureServer extends RunningServer {
  readonly connectionString: string
  /** The same by way of a proxy with this origin. */
  connectionStringVia(origin: string): string
  /** Makes an empty container and resolves to its name. @param name @default a new one */
  newContainer(name?: string): Promise<string>
}

const main = resolve(import.meta.dirname, '../../node_modules/azurite/dist/src/blob/main.js')

/** Starts it in memory; null where it is not installed. `TEST_AZURE_CONNECTION_STRING` is taken instead where set. */
export async function startAzurite({ memoryMiB = 4096 } = {}): Promise<AzureServer | null> {
  const given = process.env['TEST_AZURE_CONNECTION_STRING']
  if (given !== undefined && given !== '') {
    const endpoint = BlobServiceClient.fromConnectionString(given).url
    return azureServer(running(`Azure at ${endpoint}`, endpoint), given)
  }
  if (!existsSync(main)) return missing('Azurite', 'npm ci')
  const account = 'fileloft'
  const key = randomBytes(64).toString('base64')
  const program = await startProgram({
    name: 'Azurite',
    command: process.execPath,
    args: () => {
      const place = [
        '--blobHost',
        '127.0.0.1',
        '--blobPort',
        '0',
        '--inMemoryPersistence',
        '--extentMemoryLimit',
        String(memoryMiB),
      ]
      // It refuses the versions of the protocol that came after it; `--silent` silences the log of requests.
      return [main, ...place, '--skipApiVersionCheck', '--disableTelemetry', '--silent']
    },
    env: { AZURITE_ACCOUNTS: `${account}:${key}` },
    ready: { line: /listens on http:\/\/127\.0\.0\.1:(\d+)/ },
  })
  const endpoint = `http://127.0.0.1:${program.port}/${account}`
  const credentials = `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key}`
  const connectionString = `${credentials};BlobEndpoint=${endpoint};`
  return azureServer({ ...program, name: 'Azurite', endpoint }, connectionString)
}

function azureServer(server: RunningServer, connectionString: string): AzureServer {
  const newContainer = async (name = freshName()) => {
    await BlobServiceClient.fromConnectionString(connectionString).createContainer(name)
    return name
  }
  const connectionStringVia = (origin: string) => connectionString.replaceAll(new URL(server.endpoint).origin, origin)
  return { ...server, connectionString, connectionStringVia, newContainer }
}
