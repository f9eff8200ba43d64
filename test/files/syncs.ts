/**
 * Records which files are synced to the disk. Import it before the store: it replaces functions of `node:fs` that
 * the store picks up when it is loaded. Opening a file so that each write is synced counts as one.
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

const { fsync, fdatasync, openSync } = fs
fs.openSync = ((path: string, flags: fs.OpenMode, mode?: fs.Mode) => {
  const fd = openSync(path, flags, mode)
  if (typeof flags === 'number' && (flags & fs.constants.O_DSYNC) !== 0) note(fd)
  return fd
}) as typeof fs.openSync
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
