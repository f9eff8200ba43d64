import fs from 'node:fs'
import { promisify } from 'node:util'
import { StoreError } from '../errors.ts'

/*
 * Plain descriptors instead of FileHandle objects: half the cost per call, and nothing for the garbage collector to
 * close late. Tiny calls on metadata (open, stat, rename of one file) are made synchronously by this store: they take
 * a few microseconds, less than a trip to the thread pool, and do not queue there behind other uploads' syncs.
 * Whatever moves or syncs data goes through the pool.
 */
export const write = promisify(fs.write)
export const read = promisify(fs.read)
export const truncate = promisify(fs.ftruncate)
export const dataSync = promisify(fs.fdatasync)
export const fileSync = promisify(fs.fsync)
export const close = promisify(fs.close)

/** How a file is opened each of whose writes is on the disk when it is done; undefined where there is no such way. */
export const syncedWrites =
  (fs.constants.O_DSYNC as number | undefined) === undefined ? undefined : fs.constants.O_RDWR | fs.constants.O_DSYNC

const writeVector = promisify(fs.writev)
export const isDeno = 'Deno' in globalThis

/**
 * Writes the vector, or the beginning of it. On Deno one piece after the other: its `writev` is slower, and resolves to
 * the number alone (docs/benchmark.md, "Other ways to write").
 */
export function writev(fd: number, vector: readonly Uint8Array[], position: number): Promise<{ bytesWritten: number }> {
  const [first] = vector
  return isDeno && first !== undefined ? write(fd, first, 0, first.length, position) : writeVector(fd, vector, position)
}

/** The system's name for a failure (`ENOENT`), or an empty string. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Whether a failure says that the path leads nowhere. */
export function isMissing(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG'
}

/** Whether a failure says that no space is left, for this user or at all. */
export function isFull(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}

/** What the layers above are told about a failed file operation. A `StoreError` passes as it is. */
export function storeError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new StoreError(isFull(error) ? 'full' : 'unavailable', `${doing}: ${reason}`, { cause: error })
}

/** Removes a file; that it is gone already is fine. */
export function remove(path: string): void {
  try {
    fs.unlinkSync(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
