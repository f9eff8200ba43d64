import { createHash, randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { dataSync, errorCode, isMissing, remove, storeError } from '../../files/io.ts'
import { directorySyncs } from '../../files/sync.ts'
import type { Lock, Locker } from '../../locker.ts'
import type { Shelf } from './shelf.ts'

/**
 * Keeps events as files in a folder. Nobody else may read them: they hold what clients have sent.
 * @param locker Shared by all processes that use the folder. Each holds a lock while it lives.
 */
export function fileShelf(folder: string, locker: Locker): Shelf {
  const self = randomUUID()
  const temporaries = join(folder, 'tmp')
  const syncDirectory = directorySyncs()
  let life: Promise<Lock> | null = null
  let count = 0

  /** Others must see that this process lives before they see anything of its. */
  async function live(): Promise<void> {
    life ??= locker.acquire(lifeOf(self), { signal: AbortSignal.timeout(10_000) }).then(async (lock) => {
      await clearAway().catch(() => {})
      return lock
    })
    try {
      await life
    } catch (error) {
      life = null
      throw storeError(error, `No lock can be taken for ${folder}`)
    }
  }

  /** Whether owners are gone, as far as that is being looked at or known. */
  const looks = new Map<string, Promise<boolean>>()

  async function write(key: string, bytes: Uint8Array, durable: boolean): Promise<string> {
    const path = join(folder, key)
    const temporary = join(temporaries, `${self}-${++count}`)
    try {
      const fd = open(temporary)
      try {
        fs.writeFileSync(fd, bytes)
        if (durable) await dataSync(fd)
      } finally {
        fs.closeSync(fd)
      }
      rename(temporary, path)
      if (durable) await syncDirectory(dirname(path))
      return versionOf(bytes)
    } catch (error) {
      quietly(() => remove(temporary))
      throw storeError(error, `The event ${path} cannot be written`)
    }
  }

  async function lookFor(owner: string): Promise<boolean> {
    const lock = await locker.tryAcquire(lifeOf(owner))
    await lock?.release()
    return lock !== null
  }

  /** Whether a process has ended. */
  async function isGone(owner: string): Promise<boolean> {
    if (owner === self) return false
    // One look at a time: while one has the lock, another would take its owner for alive.
    const look = looks.get(owner) ?? lookFor(owner)
    looks.set(owner, look)
    let isGone = false
    try {
      isGone = await look
    } finally {
      // Who is gone does not come back; who lives is looked at again the next time.
      if (!isGone) looks.delete(owner)
    }
    return isGone
  }

  /** Removes what processes that are gone were writing at that moment. */
  async function clearAway(): Promise<void> {
    for (const name of namesIn(temporaries)) {
      if (await isGone(name.slice(0, self.length))) remove(join(temporaries, name))
    }
  }

  return {
    self,

    async put(key, bytes, { durable }) {
      await live()
      return write(key, bytes, durable)
    },

    async replace(key, bytes, version) {
      await live()
      // A moment only: whoever holds it changes the same event.
      const lock = await locker.tryAcquire(`${scope}${key}`)
      if (lock === null) return null
      try {
        const now = read(join(folder, key))
        if (now === null || versionOf(now) !== version) return null
        return await write(key, bytes, true)
      } finally {
        await lock.release()
      }
    },

    async get(key) {
      const bytes = read(join(folder, key))
      return bytes === null ? null : { bytes, version: versionOf(bytes) }
    },

    async delete(key) {
      try {
        // Not at once as other tiny calls: what was synced takes its time to go, and nobody waits for it.
        await unlink(join(folder, key))
      } catch (error) {
        if (isMissing(error)) return
        throw storeError(error, `The event ${key} cannot be removed`)
      }
    },

    list: async (prefix) => namesIn(join(folder, prefix)),

    isGone,

    async close() {
      const lock = await life?.catch(() => null)
      await lock?.release()
    },
  }
}

const unlink = promisify(fs.unlink)

/** No upload has an id with a colon. */
const scope = 'hooks:'

function lifeOf(owner: string): string {
  return `${scope}server:${owner}`
}

function versionOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64')
}

function read(path: string): Buffer | null {
  try {
    return fs.readFileSync(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw storeError(error, `The event ${path} cannot be read`)
  }
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw storeError(error, `The events in ${folder} cannot be listed`)
  }
}

/** Folders are made when they are needed first, or again: somebody may have cleared them away. */
function open(path: string): number {
  return orMakeFolder(path, () => fs.openSync(path, 'wx', 0o600))
}

function rename(from: string, to: string): void {
  orMakeFolder(to, () => fs.renameSync(from, to))
}

function orMakeFolder<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    return work()
  }
}

function quietly(work: () => void): void {
  try {
    work()
  } catch {
    // The failure that led here is the one to tell.
  }
}
