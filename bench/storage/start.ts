import { startAzureStorage } from './azure.ts'
import { startGcsStorage } from './gcs.ts'
import { startS3Storage } from './s3.ts'
import type { BenchStorage, StorageName } from './storage.ts'

/** Starts a new one; null, after a line on how to get it, where it is not installed. */
export function startStorage(name: StorageName): Promise<BenchStorage | null> {
  return { s3: startS3Storage, azure: startAzureStorage, gcs: startGcsStorage }[name]()
}
