/** A look into the data folder from outside. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'

/** The id in an upload's path. */
export function idOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Bytes in the upload's data file. */
export function sizeOf(dataDir: string, path: string): number {
  return statSync(join(dataDir, idOf(path)), { throwIfNoEntry: false })?.size ?? 0
}

/** First byte below `end` in which the upload's data file differs from `source`, or -1. */
export function difference(dataDir: string, path: string, source: Buffer, end: number): number {
  const file = openSync(join(dataDir, idOf(path)), 'r')
  const block = Buffer.allocUnsafe(1 << 20)
  try {
    for (let at = 0; at < end;) {
      const count = readSync(file, block, 0, Math.min(block.length, end - at), at)
      const got = block.subarray(0, count)
      const wanted = source.subarray(at, at + count)
      if (count === 0) return at
      if (!got.equals(wanted)) return at + got.findIndex((byte, i) => byte !== wanted[i])
      at += count
    }
    return -1
  } finally {
    closeSync(file)
  }
}

/** Every file below the folder, as paths in it, sorted. Empty folders do not show. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

/** Files that belong to none of these uploads: locks, temporary files, anything else. */
export function strays(dataDir: string, paths: readonly string[]): string[] {
  const known = new Set(paths.flatMap((path) => [idOf(path), `${idOf(path)}.info`]))
  return filesIn(dataDir).filter((file) => !known.has(file))
}

/** Locks, and files of those who wait for one. */
export function locks(dataDir: string): string[] {
  return filesIn(dataDir).filter((file) => /\.lock~*$/.test(file) || file.includes('/want/'))
}

/** Makes files look as if nobody had touched them for a day. */
export function age(folder: string, files: readonly string[]): void {
  const yesterday = Date.now() / 1000 - 86_400
  for (const file of files) utimesSync(join(folder, file), yesterday, yesterday)
}

/** Names, kinds, sizes, times and contents of everything below a folder, as one text. */
export function fingerprint(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const { mode, mtimeMs, size } = statSync(path)
      return [path, mode, mtimeMs, entry.isFile() ? `${size} ${sha256(readFileSync(path))}` : 'folder'].join(' ')
    })
    .sort()
    .join('\n')
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
