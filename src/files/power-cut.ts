import fs from 'node:fs'
import { uptime } from 'node:os'
import { isMissing, storeError } from './io.ts'

/*
 * The size of a file is its upload's offset. After a power cut it may say too much: file systems write the size and the
 * bytes at different times, and what was not written by then is read as zeros. On ext4 that happens to nearly every file
 * that is being appended to: its last block is written while it is half full, and the size, which has grown meanwhile,
 * after it. Where bytes were synced there are no such zeros, and a crash of the process alone leaves none.
 */

/** Most bytes that are looked at. What a file system writes at a time is hardly more. */
const mostBytes = 64 << 20

const blockBytes = 64 * 1024

/** What is compared with. */
const zeros = Buffer.alloc(blockBytes)

/** `performance.now()` of the machine's start, negative; too late by as long as it has slept since this was found out. */
let startedAt: number | undefined

/**
 * How many bytes of a file count that grows as bytes come: all of them; or, if it has been written before the machine was
 * started, those before the zeros at its end. Bytes of the client's that are zeros it sends once more.
 */
export function countedSize(path: string, { size, mtimeMs }: Pick<fs.Stats, 'size' | 'mtimeMs'>): number {
  startedAt ??= performance.now() - uptimeMs()
  // Nearly always, and without a call to the system.
  if (mtimeMs >= Date.now() - (performance.now() - startedAt)) return size
  return mtimeMs >= Date.now() - uptimeMs() ? size : sizeWithoutZeros(path, size)
}

/** Infinity where this process may not know, and the machine is taken for one that never stops: Deno asks for leave. */
function uptimeMs(): number {
  try {
    return uptime() * 1000
  } catch {
    return Infinity
  }
}

function sizeWithoutZeros(path: string, size: number): number {
  try {
    const fd = fs.openSync(path, 'r')
    try {
      return lookBack(fd, size)
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    // Whoever goes on with it is told.
    if (isMissing(error)) return size
    throw storeError(error, `${path} cannot be read`)
  }
}

function lookBack(fd: number, size: number): number {
  const block = Buffer.allocUnsafe(Math.min(blockBytes, size))
  const least = Math.max(0, size - mostBytes)
  for (let end = size; end > least;) {
    const start = Math.max(least, end - block.length)
    const count = fs.readSync(fd, block, 0, end - start, start)
    // Somebody has made it shorter.
    if (count < end - start) return size
    const bytes = block.subarray(0, count)
    if (!bytes.equals(zeros.subarray(0, count))) return start + bytes.findLastIndex((byte) => byte !== 0) + 1
    end = start
  }
  return least
}
