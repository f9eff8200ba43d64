import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import type { ByteRange } from '../store.ts'
import { close, read, storeError } from './io.ts'

/** Bytes asked of the disk at once; one such buffer is read ahead while the last one is on its way. */
const chunkBytes = 256 * 1024

/** Bytes of a file, with one read ahead. Closes the file when the reader leaves early. */
export async function* readRange(path: string, range: ByteRange, chunkSize = chunkBytes): AsyncGenerator<Uint8Array> {
  if (range.start >= range.end) return
  let fd: number
  try {
    fd = fs.openSync(path, 'r')
  } catch (error) {
    throw storeError(error, `${path} cannot be read`)
  }
  let ahead: Promise<Uint8Array> | undefined
  try {
    let position = range.start
    let next = readAt(fd, path, position, Math.min(chunkSize, range.end - position))
    while (true) {
      const chunk = await next
      position += chunk.length
      if (position >= range.end) {
        yield chunk
        return
      }
      ahead = readAt(fd, path, position, Math.min(chunkSize, range.end - position))
      ahead.catch(() => undefined)
      next = ahead
      yield chunk
    }
  } finally {
    // Nothing may read from a descriptor that is closed: its number can be another file's by then.
    await ahead?.catch(() => undefined)
    await close(fd)
  }
}

async function readAt(fd: number, path: string, position: number, length: number): Promise<Uint8Array> {
  // Not from a pool: the reader may keep it, and a slice would keep the whole pool with it.
  const buffer = Buffer.allocUnsafeSlow(length)
  let count: number
  try {
    count = (await read(fd, buffer, 0, length, position)).bytesRead
  } catch (error) {
    throw storeError(error, `${path} cannot be read`)
  }
  if (count === 0) throw new StoreError('corrupt', `${path} ends at byte ${position}, earlier than its record says`)
  return count === length ? buffer : buffer.subarray(0, count)
}
