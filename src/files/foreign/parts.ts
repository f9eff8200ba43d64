/** The one for Rust stores each body in a file of its own, `<id>_part_<n>`, until all are there. */
import fs from 'node:fs'
import { copyFile, readdir, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Directory } from '../directory.ts'
import { read, write } from '../io.ts'
import type { Place } from '../paths.ts'
import type { ForeignUpload } from './layout.ts'

/** Paths of the parts, in order; none where the bytes are in one file. @throws Error when bytes are missing. */
export async function partsOf(foreign: ForeignUpload, place: Place): Promise<string[]> {
  if (foreign.server !== 'fileloft for Rust') return []
  const paths = await find(place)
  if (paths.length === 0) return []
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const offset = foreign.offset ?? 0
  if (total < offset) throw new Error(`its parts have ${total} bytes, less than the ${offset} that were recorded`)
  return paths
}

/**
 * Puts the parts into the upload's file, up to `offset`: what is behind it was stored, but never counted.
 * @returns the parts, which are not needed any more.
 */
export async function joinParts(directory: Directory, place: Place, offset: number): Promise<string[]> {
  const parts = await find(place)
  const [first, ...others] = parts
  if (first === undefined) return []
  const path = directory.temporary()
  await copyFile(first, path)
  const fd = fs.openSync(path, 'r+')
  try {
    let position = fs.fstatSync(fd).size
    for (const other of others) position = await copyInto(fd, position, other)
    fs.ftruncateSync(fd, Math.min(position, offset))
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(path, place.data)
  return parts
}

async function find({ data }: Place): Promise<string[]> {
  const prefix = `${basename(data)}_part_`
  const names = await readdir(dirname(data))
  const numbers = names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
  return numbers.sort((a, b) => a - b).map((number) => `${data}_part_${number}`)
}

async function copyInto(fd: number, position: number, path: string): Promise<number> {
  const source = fs.openSync(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(1 << 20)
    for (let at = position; ;) {
      const { bytesRead } = await read(source, buffer, 0, buffer.length, null)
      if (bytesRead === 0) return at
      for (let done = 0; done < bytesRead;) {
        done += (await write(fd, buffer, done, bytesRead - done, at + done)).bytesWritten
      }
      at += bytesRead
    }
  } finally {
    fs.closeSync(source)
  }
}
