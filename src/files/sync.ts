import fs from 'node:fs'
import { errorCode, fileSync } from './io.ts'

/**
 * Makes syncs of directories cheap under load: everybody who asks while one is running shares the next one, which
 * starts after it. A sync that had begun before the caller's rename would prove nothing.
 */
export function directorySyncs(): (directory: string) => Promise<void> {
  const running = new Map<string, { current: Promise<void>; next: Promise<void> | null }>()

  const start = (directory: string): Promise<void> => {
    const turn: { current: Promise<void>; next: Promise<void> | null } = { current: run(), next: null }
    running.set(directory, turn)
    return turn.current

    async function run(): Promise<void> {
      try {
        await syncDirectory(directory)
      } finally {
        if (turn.next === null) running.delete(directory)
      }
    }
  }

  return (directory) => {
    const turn = running.get(directory)
    if (turn === undefined) return start(directory)
    const again = (): Promise<void> => start(directory)
    return (turn.next ??= turn.current.then(again, again))
  }
}

async function syncDirectory(directory: string): Promise<void> {
  let fd: number
  try {
    fd = fs.openSync(directory, 'r')
  } catch (error) {
    // Windows opens no directories; one that is gone has no entries left to keep.
    if (noDirectorySync.has(errorCode(error))) return
    throw error
  }
  try {
    await fileSync(fd)
  } catch (error) {
    if (!noDirectorySync.has(errorCode(error))) throw error
  } finally {
    // Here: nothing was written through it that the system would have to write out now.
    fs.closeSync(fd)
  }
}

const noDirectorySync: ReadonlySet<string> = new Set(['ENOENT', 'EPERM', 'EISDIR', 'EINVAL', 'ENOTSUP'])
