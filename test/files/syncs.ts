/**
 * Records which files are synced to the disk. Import it before the store: it replaces functions of `node:fs` that
 * the store picks up when it is loaded.
 */
import fs from 'node:fs'
import { basename } from 'node:path'

let names: string[] = []

/** Names of the files and folders synced since the last call, sorted; temporary ones as `record`. */
export function takeSyncs(): string[] {
  const taken = names
  names = []
  return taken.sort()
}

const { fsync, fdatasync } = fs
fs.fsync = ((fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
  note(fd)
  fsync(fd, done)
}) as typeof fs.fsync
fs.fdatasync = ((fd: number, done: (error: NodeJS.ErrnoException | null) => void) => {
  note(fd)
  fdatasync(fd, done)
}) as typeof fs.fdatasync

function note(fd: number): void {
  const path = fs.readlinkSync(`/proc/self/fd/${fd}`)
  names.push(path.includes('/.tmp/') ? 'record' : basename(path))
}
