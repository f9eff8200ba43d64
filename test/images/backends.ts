/** The storage behind each image: a real server, and the variables that lead to it. */
import { startAzurite } from '../servers/azurite.ts'
import { startFakeGcs } from '../servers/fake-gcs.ts'
import { startMinio } from '../servers/minio.ts'

export interface ImageStorage extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>
}

/** One for each image; null where its server is not installed. */
export const storages: Readonly<Record<string, () => Promise<ImageStorage | null>>> = {
  fs: () => Promise.resolve({ env: {}, [Symbol.asyncDispose]: () => Promise.resolve() }),
  async s3() {
    const server = await startMinio()
    if (server === null) return null
    const env = {
      FILELOFT_S3_BUCKET: await server.newBucket(),
      AWS_ENDPOINT_URL_S3: server.endpoint,
      AWS_REGION: server.region,
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    }
    return { env, [Symbol.asyncDispose]: () => server.stop() }
  },
  async gcs() {
    const server = await startFakeGcs()
    if (server === null) return null
    const env = { FILELOFT_GCS_BUCKET: await server.newBucket(), STORAGE_EMULATOR_HOST: server.endpoint }
    return { env, [Symbol.asyncDispose]: () => server.stop() }
  },
  async azure() {
    const server = await startAzurite()
    if (server === null) return null
    const env = {
      FILELOFT_AZURE_CONTAINER: await server.newContainer(),
      AZURE_STORAGE_CONNECTION_STRING: server.connectionString,
    }
    return { env, [Symbol.asyncDispose]: () => server.stop() }
  },
}
