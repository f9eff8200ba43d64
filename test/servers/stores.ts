/** Our stores on the servers of the tests: each makes a bucket and tells how to open a store below a prefix in it. */
import type { ObjectStoreOptions } from '../../src/objects/store.ts'
import type { Store } from '../../src/index.ts'
import { azureStore } from '../../src/stores/azure.ts'
import { gcsStore } from '../../src/stores/gcs.ts'
import { s3Store } from '../../src/stores/s3.ts'
import type { AzureServer } from './azurite.ts'
import type { GcsServer } from './fake-gcs.ts'
import type { S3Server } from './s3.ts'

export type OpenStore = (prefix: string, options?: ObjectStoreOptions) => Store

export async function s3StoreOf(server: S3Server): Promise<OpenStore> {
  const bucket = await server.newBucket()
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const credentials = { accessKeyId, secretAccessKey }
  return (prefix, options) =>
    s3Store({ ...options, bucket, prefix, endpoint, region, credentials, forcePathStyle: true })
}

export async function gcsStoreOf(server: GcsServer): Promise<OpenStore> {
  const bucket = await server.newBucket()
  const { endpoint } = server
  return (prefix, options) => gcsStore({ ...options, bucket, prefix, endpoint })
}

export async function azureStoreOf(server: AzureServer): Promise<OpenStore> {
  const container = await server.newContainer()
  const { connectionString } = server
  return (prefix, options) => azureStore({ ...options, connectionString, container, prefix })
}
