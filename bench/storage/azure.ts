import { BlobServiceClient } from '@azure/storage-blob'
import { startAzurite } from '../../test/servers/azurite.ts'
import { azure } from '../../test/support/storage-dialects.ts'
import type { BenchStorage } from './storage.ts'

/** Azurite, in memory: it keeps what was overwritten for some time, which is several times what is uploaded. */
export async function startAzureStorage(): Promise<BenchStorage | null> {
  const server = await startAzurite({ memoryMiB: 12 * 1024 })
  if (server === null) return null
  const container = await server.newContainer()
  const client = BlobServiceClient.fromConnectionString(server.connectionString).getContainerClient(container)
  const setting = (name: string) => new RegExp(`${name}=([^;]+)`).exec(server.connectionString)?.[1] ?? ''
  return {
    title: server.name,
    dialect: azure,
    endpoint: new URL(server.endpoint).origin,
    reach(origin) {
      const connectionString = server.connectionStringVia(origin)
      return {
        fileloft: { FILELOFT_AZURE_CONTAINER: container, FILELOFT_AZURE_CONNECTION_STRING: connectionString },
        tusNode: { AZURE_CONTAINER: container, AZURE_STORAGE_CONNECTION_STRING: connectionString },
        tusd: {
          args: ['-azure-storage', container, '-azure-endpoint', `${origin}${new URL(server.endpoint).pathname}`],
          environment: { AZURE_STORAGE_ACCOUNT: setting('AccountName'), AZURE_STORAGE_KEY: setting('AccountKey') },
        },
      }
    },
    size: async (key) => (await client.getBlobClient(key).getProperties()).contentLength ?? 0,
    read: async (key) => {
      const { readableStreamBody } = await client.getBlobClient(key).download()
      return (readableStreamBody ?? []) as AsyncIterable<Uint8Array>
    },
    stop: () => server.stop(),
  }
}
