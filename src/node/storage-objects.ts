import { memoryLocker } from '../lockers/memory.ts'
import type { ObjectStoreOptions } from '../objects/store.ts'
import type { Store } from '../store.ts'
import type { Backend } from './backend.ts'
import type { Config } from './config.ts'
import { backendPackages } from './packages.ts'
import { storageFetch } from './storage-fetch.ts'
import type { Storage } from './storage.ts'

type Objects = Exclude<Backend, 'fs'>

/**
 * Opens the store in its bucket and asks whether it can be used.
 * @throws StoreError when it cannot; Error that names what is not installed.
 */
export async function openBucket(config: Config, backend: Objects): Promise<Storage> {
  const { store, place } = await open(config, backend)
  await store.check?.()
  return { store, locker: memoryLocker(), about: { backend, bucket: place }, place, notice: null, full: null }
}

async function open(config: Config, backend: Objects): Promise<{ store: Store; place: string }> {
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

async function openS3(config: Config): Promise<{ store: Store; place: string }> {
  const { s3Bucket: bucket = '', s3Prefix: prefix, s3Endpoint: endpoint, s3Region: region } = config
  const { s3ForcePathStyle: forcePathStyle, s3AllowUnfenced: allowUnfenced } = config
  const [{ s3Store }, { fromNodeProviderChain }] = await Promise.all([
    import('../stores/s3.ts'),
    import('@aws-sdk/credential-providers'),
  ])
  const store = s3Store({
    ...common(config),
    bucket,
    allowUnfenced,
    fetch: storageFetch(),
    credentials: fromNodeProviderChain(region === undefined ? {} : { clientConfig: { region } }),
    ...(prefix !== undefined && { prefix }),
    ...(endpoint !== undefined && { endpoint }),
    ...(region !== undefined && { region }),
    ...(forcePathStyle !== undefined && { forcePathStyle }),
  })
  return { store, place: `s3://${bucket}/${prefix ?? ''}` }
}

async function openGcs(config: Config): Promise<{ store: Store; place: string }> {
  const { gcsBucket: bucket = '', gcsPrefix: prefix, gcsEndpoint: endpoint } = config
  const { gcsStore } = await import('../stores/gcs.ts')
  const store = gcsStore({
    ...common(config),
    bucket,
    ...(prefix !== undefined && { prefix }),
    ...(endpoint !== undefined && { endpoint }),
  })
  return { store, place: `gs://${bucket}/${prefix ?? ''}` }
}

async function openAzure(config: Config): Promise<{ store: Store; place: string }> {
  const { azureContainer: container = '', azurePrefix: prefix, azureConnectionString: connectionString } = config
  const { azureAccount: account, azureEndpoint: endpoint } = config
  const { azureStore } = await import('../stores/azure.ts')
  const shared = { ...common(config), container, ...(prefix !== undefined && { prefix }) }
  const place = `azure://${container}/${prefix ?? ''}`
  if (connectionString !== undefined) return { store: azureStore({ ...shared, connectionString }), place }
  const { DefaultAzureCredential } = await import('@azure/identity')
  const store = azureStore({
    ...shared,
    credential: new DefaultAzureCredential(),
    ...(account !== undefined && { account }),
    ...(endpoint !== undefined && { endpoint }),
  })
  return { store, place }
}

function common({ partSize, partConcurrency, bufferBudget, infoPrefix }: Config): ObjectStoreOptions {
  return { partSize, partConcurrency, bufferBudget, ...(infoPrefix !== undefined && { infoPrefix }) }
}
