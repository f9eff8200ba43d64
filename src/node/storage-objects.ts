import { memoryLocker } from '../lockers/memory.ts'
import type { Bucket } from '../objects/bucket.ts'
import { objectStore, type ObjectStoreOptions } from '../objects/store.ts'
import type { Backend } from './backend.ts'
import type { Config } from './config.ts'
import { backendPackages } from './packages.ts'
import { storageFetch } from './storage-fetch.ts'
import type { Storage } from './storage.ts'
import { storageObservers } from './storage-observers.ts'

type Objects = Exclude<Backend, 'fs'>

interface Opened {
  readonly bucket: Bucket
  /** For messages. */
  readonly place: string
}

/**
 * Opens the store in its bucket and asks whether it can be used.
 * @throws StoreError when it cannot; Error that names what is not installed.
 */
export async function openBucket(config: Config, backend: Objects): Promise<Storage> {
  const { observer, add: observe } = storageObservers()
  const { bucket, place } = await open(config, backend)
  const store = objectStore(bucket, { ...storeOptions(config), observer })
  await store.check()
  const about = { backend, bucket: place }
  return { store, locker: memoryLocker(), bucket, about, place, notice: null, full: null, observe }
}

async function open(config: Config, backend: Objects): Promise<Opened> {
  try {
    switch (backend) {
      case 's3':
        return await openS3(config)
      case 'gcs':
        return await openGcs(config)
      case 'azure':
        return await openAzure(config)
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Error(
        `The backend ${backend} needs packages that are not installed: npm install ${backendPackages[backend].join(' ')}`,
        {
          cause: error,
        },
      )
    }
    throw error
  }
}

async function openS3(config: Config): Promise<Opened> {
  const { s3Bucket: bucket = '', s3Prefix: prefix, s3Endpoint: endpoint, s3Region: region } = config
  const { s3ForcePathStyle: forcePathStyle, s3AllowUnfenced: allowUnfenced } = config
  const [{ s3Bucket }, { fromNodeProviderChain }] = await Promise.all([
    import('../buckets/s3.ts'),
    import('@aws-sdk/credential-providers'),
  ])
  const opened = s3Bucket({
    bucket,
    allowUnfenced,
    fetch: storageFetch(),
    credentials: fromNodeProviderChain(region === undefined ? {} : { clientConfig: { region } }),
    ...(prefix !== undefined && { prefix }),
    ...(endpoint !== undefined && { endpoint }),
    ...(region !== undefined && { region }),
    ...(forcePathStyle !== undefined && { forcePathStyle }),
  })
  return { bucket: opened, place: `s3://${bucket}/${prefix ?? ''}` }
}

async function openGcs(config: Config): Promise<Opened> {
  const { gcsBucket: bucket = '', gcsPrefix: prefix, gcsEndpoint: endpoint } = config
  const { gcsBucket } = await import('../buckets/gcs.ts')
  const opened = gcsBucket({
    bucket,
    ...(prefix !== undefined && { prefix }),
    ...(endpoint !== undefined && { endpoint }),
  })
  return { bucket: opened, place: `gs://${bucket}/${prefix ?? ''}` }
}

async function openAzure(config: Config): Promise<Opened> {
  const { azureContainer: container = '', azurePrefix: prefix, azureConnectionString: connectionString } = config
  const { azureAccount: account, azureEndpoint: endpoint } = config
  const { azureBucket } = await import('../buckets/azure.ts')
  const shared = { container, ...(prefix !== undefined && { prefix }) }
  const place = `azure://${container}/${prefix ?? ''}`
  if (connectionString !== undefined) return { bucket: azureBucket({ ...shared, connectionString }), place }
  const { DefaultAzureCredential } = await import('@azure/identity')
  const bucket = azureBucket({
    ...shared,
    credential: new DefaultAzureCredential(),
    ...(account !== undefined && { account }),
    ...(endpoint !== undefined && { endpoint }),
  })
  return { bucket, place }
}

function storeOptions({ partSize, partConcurrency, bufferBudget, infoPrefix }: Config): ObjectStoreOptions {
  return { partSize, partConcurrency, bufferBudget, ...(infoPrefix !== undefined && { infoPrefix }) }
}
