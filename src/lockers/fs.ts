import { resolve } from 'node:path'
import { type FileLock, lockFiles } from '../files/lock-files.ts'
import { fileName } from '../files/paths.ts'
import type { Lock, Locker } from '../locker.ts'
import { memoryLocker } from './memory.ts'

/** What `fsLocker` takes. */
export interface FileLockerOptions {
  /** Folder for the lock files, on a file system with hard links. Made when it is missing. */
  readonly directory: string
}

/**
 * Locks for several processes that share a directory, on one machine or over a network file system.
 *
 * - `<id>.lock`: the lock, a hard link to its holder's file. `<id>.lock~`: a dead holder's lock is being removed.
 * - `owner/<uuid>`: one per process: JSON with `host`, `boot`, `pidNamespace`, `pid`, `start` and `uuid`. Its time of
 *   change is the heartbeat, every 4 seconds.
 * - `want/<id>@<uuid>-<n>`: somebody waits; the holder is told at once, or within a second where the file system sends
 *   no events (network file systems, between machines).
 *
 * The lock of a process that died is had at once on the same machine, and about 15 seconds after its last heartbeat
 * otherwise (another machine or container, a worker thread that ended while its process lives on; up to a minute after
 * a restart of the machine, or when the disk was too full for the owner file, if nobody waits that long). A process
 * that is merely stopped keeps its locks on its machine. Elsewhere others take over, and `guard` tells it so before it
 * writes again; only a stop between that check and the write itself goes unseen.
 *
 * @throws TypeError when the directory is not a path. Nothing is read or written before the first use.
 */
export function fsLocker(options: FileLockerOptions): Required<Locker> {
  const { directory } = options
  if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
    throw new TypeError('fsLocker: directory must be a path')
  }
  const memory = memoryLocker()
  const files = lockFiles(resolve(directory))

  return {
    async acquire(id, { signal, onContention }) {
      // In this process first: in order of arrival, and without a file for every waiter.
      const ask = once(onContention)
      const turn = await memory.acquire(id, { signal, ...(ask && { onContention: ask }) })
      try {
        const file = await files.take(fileName(id), ask, signal)
        return both(turn, file)
      } catch (error) {
        await turn.release()
        throw error
      }
    },

    isFree: (id) => memory.isFree(id) === true && files.isFree(fileName(id)),

    async tryAcquire(id) {
      const turn = await memory.tryAcquire(id)
      if (turn === null) return null
      try {
        const file = files.tryTake(fileName(id), undefined)
        if (file !== null) return both(turn, file)
        await turn.release()
        return null
      } catch (error) {
        await turn.release()
        throw error
      }
    },
  }
}

function both(turn: Lock, file: FileLock): Lock {
  return {
    guard: file.guard,
    release() {
      file.release()
      return turn.release()
    },
  }
}

/** Two sides may ask this holder to give way: other processes and this one. */
function once(ask: (() => void) | undefined): (() => void) | undefined {
  let asked = false
  return (
    ask &&
    (() => {
      if (asked) return
      asked = true
      ask()
    })
  )
}
