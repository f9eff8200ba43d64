/** The one for Rust stores each body in a file of its own, `<id>_part_<n>`, until all are there. */
import fs from 'node:fs'
import { copyFile, readdir, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Directory } from '../directory.ts'
import { read, remove, write } from '../io.ts'
import { infoSuffix, type Place } from '../paths.ts'
import type { ForeignUpload } from './layout.ts'

/** Finds the parts of uploads; each folder is read once. */
export interface Parts {
  /** Paths of the parts, in order; none where the bytes are in one file. @throws Error when bytes are missing. */
  readonly of: (foreign: ForeignUpload, place: Place) => Promise<string[]>
  /** The same of an upload that is ours already, complete or not: what an import that was stopped has left. */
  readonly left: (place: Place) => Promise<string[]>
}

export function findParts(): Parts {
  /** By folder: numbers of parts by the name of their upload's file. */
  const folders = new Map<string, Promise<ReadonlyMap<string, number[]>>>()
  const numbersOf = async (data: string): Promise<readonly number[]> => {
    const folder = dirname(data)
    if (!folders.has(folder)) folders.set(folder, listParts(folder))
    const listed = (await folders.get(folder))?.get(basename(data)) ?? []
    return listed.filter((number) => !hasRecord(`${data}_part_${number}`))
  }
  return {
    left: async ({ data }) => (await numbersOf(data)).map((number) => `${data}_part_${number}`),
    async of({ server, offset }, { data }) {
      if (server !== 'fileloft for Rust') return []
      const numbers = await numbersOf(data)
      const gap = numbers.findIndex((number, index) => number !== index)
      if (gap >= 0) throw new Error(`its parts have a gap: there is no ${data}_part_${gap}`)
      const paths = numbers.map((number) => `${data}_part_${number}`)
      const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size))
      const total = sizes.reduce((sum, size) => sum + size, 0)
      if (paths.length > 0 && total < (offset ?? 0)) {
        throw new Error(`its parts have ${total} bytes, less than the ${offset} that were recorded`)
      }
      return paths
    },
  }
}

async function listParts(folder: string): Promise<ReadonlyMap<string, number[]>> {
  const names = new Set(await readdir(folder))
  const found = new Map<string, number[]>()
  for (const name of names) {
    const [, base = '', number = ''] = /^(.+)_part_(\d+)$/.exec(name) ?? []
    // One with a record is an upload of that name.
    if (number === '' || names.has(name + infoSuffix) || names.has(`${name}.json`)) continue
    found.set(base, [...(found.get(base) ?? []), Number(number)])
  }
  for (const numbers of found.values()) numbers.sort((a, b) => a - b)
  return found
}

/** Whether it is an upload of that name: a server of ours may have made one since the folder was read. */
function hasRecord(path: string): boolean {
  return fs.existsSync(path + infoSuffix)
}

/** Removes parts that are part of an upload now. */
export function removeParts(paths: readonly string[]): void {
  for (const path of paths) if (!hasRecord(path)) remove(path)
}

/** Puts the parts into the upload's file, up to `offset`: what is behind it was stored, but never counted. */
export async function joinParts(
  directory: Directory,
  place: Place,
  parts: readonly string[],
  offset: number,
): Promise<void> {
  const [first, ...others] = parts
  if (first === undefined) return
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
