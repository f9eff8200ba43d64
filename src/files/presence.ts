import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import { errorCode, isFull, isMissing, remove, storeError } from './io.ts'
import { livingHere, ownOwner } from './owner.ts'

/**
 * This locker's own file, `owner/<uuid>`: who it is, and its heartbeat (the time of change). Locks and wants are hard
 * links to it, so one touch keeps all of them fresh, and taking a lock is one call that either makes it whole or not.
 */
export interface Presence {
  /** Makes the owner file, if there is none. */
  arrive(): void
  /** Makes `path` a link to the owner file; false when something is there already. */
  link(path: string): boolean
  /** Whether `path` is a link to the owner file. */
  owns(path: string): boolean
  /** Whether the heartbeat is so recent that nobody can have taken this process for dead. */
  isFresh(): boolean
  beat(): void
  /** Removes the file. The next link makes it anew. */
  leave(): void
}

/** As long as the last beat is no older, no lock of ours can have been stolen, in milliseconds. */
const trustMs = 6_000

/** @param heldPaths Lock files that are held now: the owner file can be had back from any of them. */
export function presence(directory: string, uuid: string, heldPaths: () => Iterable<string>): Presence {
  const folder = `${directory}/owner`
  const path = `${folder}/${uuid}`
  const identity = (stats: fs.Stats): string => `${stats.dev}:${stats.ino}`
  let own: string | undefined
  /** Whether the owner file is still empty, as the disk is full. */
  let anonymous = false
  let beatAt = 0

  function enter(): void {
    fs.mkdirSync(folder, { recursive: true })
    fs.mkdirSync(`${directory}/want`, { recursive: true })
    for (const held of heldPaths()) {
      if (own !== undefined && owns(held) && tryLink(held, path)) return
    }
    // Under another name first: a link to it must never find it half written.
    const draft = `${path}.${randomUUID()}`
    try {
      anonymous = !introduce(draft, 'wx')
      fs.renameSync(draft, path)
    } catch (error) {
      remove(draft)
      throw error
    }
    own = identity(fs.statSync(path))
    beatAt = Date.now()
    livingHere.add(uuid)
  }

  /**
   * Writes who this is. On a full disk the file stays empty, which takes no space: others go by its heartbeat alone,
   * and uploads can still be removed to free some.
   */
  function introduce(file: string, flag: 'wx' | 'r+'): boolean {
    try {
      fs.writeFileSync(file, JSON.stringify(ownOwner(uuid)), { flag })
      return true
    } catch (error) {
      if (!isFull(error) || !fs.existsSync(file)) throw error
      fs.truncateSync(file)
      return false
    }
  }

  function owns(file: string): boolean {
    const stats = fs.statSync(file, { throwIfNoEntry: false })
    return stats !== undefined && identity(stats) === own
  }

  return {
    owns,

    arrive() {
      try {
        if (own === undefined) enter()
      } catch (error) {
        throw storeError(error, `The lock folder ${directory} cannot be used`)
      }
    },

    link(to) {
      try {
        if (own === undefined) enter()
        try {
          return tryLink(path, to)
        } catch (error) {
          // Somebody cleared the folder.
          if (!isMissing(error)) throw error
          enter()
          return tryLink(path, to)
        }
      } catch (error) {
        if (noLinks.has(errorCode(error))) {
          throw new StoreError('unavailable', `Locks need hard links, which ${directory} does not have`, {
            cause: error,
          })
        }
        throw storeError(error, `The lock ${to} cannot be taken`)
      }
    },

    isFresh() {
      const age = Date.now() - beatAt
      return age >= 0 && age < trustMs
    },

    beat() {
      if (own === undefined) return
      const now = new Date()
      try {
        if (anonymous) anonymous = !introduce(path, 'r+')
        fs.utimesSync(path, now, now)
      } catch (error) {
        if (!isMissing(error)) throw error
        enter()
      }
      beatAt = now.getTime()
    },

    leave() {
      own = undefined
      livingHere.delete(uuid)
      remove(path)
    },
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    fs.linkSync(from, to)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])
