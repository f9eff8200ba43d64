import { constants } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Locker } from '../locker.ts'
import { fsLocker } from '../lockers/fs.ts'
import type { Store } from '../store.ts'
import { fileStore } from '../stores/fs.ts'
import type { Config } from './config.ts'

/** Where the configuration says that uploads are kept. */
export interface Storage {
  readonly store: Store
  readonly locker: Locker
  /** For the start line. */
  readonly about: { readonly backend: 'fs'; readonly directory: string }
  /** Said in the log, if there is anything to say. */
  readonly notice: string | null
}

const defaultDirectory = '/var/lib/fileloft'

/**
 * Opens the store and asks whether it can be used.
 * @throws StoreError when it cannot.
 */
export async function openStorage(config: Config, preferred = defaultDirectory): Promise<Storage> {
  const configured = config.dataDir === undefined ? null : resolve(config.dataDir)
  const directory = configured ?? ((await isUsable(preferred)) ? preferred : resolve('fileloft-data'))
  const store = fileStore({ directory })
  await store.check?.()
  return {
    store,
    locker: fsLocker({ directory: join(directory, '.locks') }),
    about: { backend: 'fs', directory },
    notice:
      configured === null && directory !== preferred
        ? `${preferred} cannot be used, so uploads go to ${directory}; FILELOFT_DATA_DIR says otherwise`
        : null,
  }
}

async function isUsable(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { recursive: true })
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}
