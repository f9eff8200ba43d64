import { accessSync, constants, createReadStream, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { explainError, UploadError } from './explain.ts'
import { fingerprintOf } from './places.ts'

/** What one upload is made of. */
export interface Source {
  /** As it is called on the screen. */
  readonly name: string
  /** Bytes; null for a stream. */
  readonly size: number | null
  /** In the upload's metadata. */
  readonly filename: string | null
  /** The same as long as the file is; null for a stream, which cannot be read twice. */
  readonly identity: string | null
  open(): Readable
}

/** @throws UploadError when there is no such file. */
export function openSource(path: string): Source {
  if (path === '-') {
    return { name: 'standard input', size: null, filename: null, identity: null, open: () => process.stdin }
  }
  const stats = statOf(path)
  if (stats.isDirectory()) throw new UploadError('it is a directory')
  if (!stats.isFile()) throw new UploadError('it is no regular file; standard input (-) takes streams')
  const identity = fingerprintOf([resolve(path), stats.size, stats.mtimeMs])
  return { name: path, size: stats.size, filename: basename(path), identity, open: () => createReadStream(path) }
}

function statOf(path: string) {
  try {
    const stats = statSync(path)
    accessSync(path, constants.R_OK)
    return stats
  } catch (error) {
    throw new UploadError(explainError(error), { cause: error })
  }
}
