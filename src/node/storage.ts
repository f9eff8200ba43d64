import type { StoreError } from '../errors.ts'
import type { StorageObserver } from '../objects/observer.ts'
import type { Locker } from '../locker.ts'
import type { Bucket } from '../objects/bucket.ts'
import type { Store } from '../store.ts'
import type { Config } from './config.ts'
import { openFiles } from './storage-fs.ts'

/** Where the configuration says that uploads are kept. */
export interface Storage {
  readonly store: Store
  readonly locker: Locker
  /** What the store works with, on object storage; null on a file system. */
  readonly bucket: Bucket | null
  /** For the start line. */
  readonly about: Readonly<Record<string, string>>
  /** The directory or bucket, for messages. */
  readonly place: string
  /** Said in the log, if there is anything to say. */
  readonly notice: string | null
  /** That nothing more fits in. What is there can be read and removed all the same, which is how space comes back. */
  readonly full: StoreError | null
  /** Lets somebody watch the calls to object storage from now on; there are none for files. */
  readonly observe: (observer: StorageObserver) => void
}

/**
 * Opens the store and asks whether it can be used.
 * @throws StoreError when it cannot, for another reason than that it is full.
 */
export async function openStorage(config: Config): Promise<Storage> {
  if (config.backend === 'fs') return openFiles(config)
  // Not to be in memory beside files.
  const { openBucket } = await import('./storage-objects.ts')
  return openBucket(config, config.backend)
}
