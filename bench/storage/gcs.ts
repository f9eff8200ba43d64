import { startFakeGcs } from '../../test/servers/fake-gcs.ts'
import { gcs } from '../../test/support/storage-dialects.ts'
import { type BenchStorage, bodyOf } from './storage.ts'

/** fake-gcs-server, in memory. */
export async function startGcsStorage(): Promise<BenchStorage | null> {
  const server = await startFakeGcs()
  if (server === null) return null
  const { endpoint } = server
  const bucket = await server.newBucket()
  const ask = async (key: string, query: string) => {
    const answer = await fetch(`${endpoint}/storage/v1/b/${bucket}/o/${encodeURIComponent(key)}${query}`)
    if (!answer.ok) throw new Error(`GET of ${key} was answered ${answer.status}`)
    return answer
  }
  return {
    title: server.name,
    dialect: gcs,
    endpoint,
    reach: (origin) => ({
      fileloft: { FILELOFT_GCS_BUCKET: bucket, FILELOFT_GCS_ENDPOINT: origin },
      tusNode: { GCS_BUCKET: bucket, GCS_ENDPOINT: origin },
      // Without this variable it looks for credentials.
      tusd: { args: ['-gcs-bucket', bucket], environment: { STORAGE_EMULATOR_HOST: new URL(origin).host } },
    }),
    size: async (key) => Number(((await (await ask(key, '')).json()) as { size: string }).size),
    read: async (key) => bodyOf(await ask(key, '?alt=media')),
    stop: () => server.stop(),
  }
}
