import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { StoreError } from '../errors.ts'
import { fsLocker } from '../lockers/fs.ts'
import type { Store } from '../store.ts'
import { fileStore } from '../stores/fs.ts'
import { defaultDirectory } from './backend.ts'
import type { Config } from './config.ts'
import type { Storage } from './storage.ts'

/**
 * Opens the store in its directory and asks whether it can be used.
 * @param preferred Where it goes when the configuration does not say.
 * @throws StoreError when it cannot, for another reason than that it is full.
 */
export async function openFiles(config: Config, preferred = defaultDirectory): Promise<Storage> {
  const configured = config.dataDir === undefined ? null : resolve(config.dataDir)
  const directory = configured ?? (isUsable(preferred) ? preferred : resolve('fileloft-data'))
  const locks = join(directory, '.locks')
  makeFor(directory, locks)
  const store = fileStore({ directory, sync: config.sync })
  return {
    store,
    locker: fsLocker({ directory: locks }),
    bucket: null,
    about: { backend: 'fs', directory },
    place: directory,
    notice:
      configured === null && directory !== preferred
        ? `${preferred} cannot be used, so uploads go to ${directory}; FILELOFT_DATA_DIR says otherwise`
        : null,
    full: await checkSpace(store),
    observe: () => {},
  }
}

function makeFor(directory: string, path: string): void {
  try {
    makeDirectory(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StoreError('unavailable', `The directory ${directory} cannot be used: ${reason}`, { cause: error })
  }
}

async function checkSpace(store: Store): Promise<StoreError | null> {
  try {
    await store.check?.()
    return null
  } catch (error) {
    if (error instanceof StoreError && error.code === 'full') return error
    throw error
  }
}

function isUsable(directory: string): boolean {
  try {
    makeDirectory(directory)
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Makes a directory and those above it, one by one: Node's `recursive` never returns where one that is there answers
 * ENOENT, as those below /proc do. What it lacks the space for is left to whoever writes there.
 */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
  if (dirname(path) !== path) makeDirectory(dirname(path))
  try {
    mkdirSync(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    // Somebody else may have made it meanwhile.
    if (code === 'ENOSPC' || code === 'EDQUOT' || (code === 'EEXIST' && statSync(path).isDirectory())) return
    throw error
  }
}
