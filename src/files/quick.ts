import fs from 'node:fs'
import { isDeno } from './io.ts'

/** Writes of up to so many bytes may be made on this thread. */
export const quickBytes = 64 * 1024

/** A write that took longer, in milliseconds, says that the system makes writers wait. */
const slowMs = 4

/** For so long nothing is written on this thread afterwards, in milliseconds. */
const pauseMs = 5_000

let pausedUntil = 0

/**
 * Whether a small write may be made on this thread now. The system copies the bytes and returns within some microseconds,
 * less than a trip to the thread pool takes; unless too many bytes wait for the disk already, or the file is far away.
 */
export function mayWriteHere(bytes: number): boolean {
  return bytes <= quickBytes && performance.now() >= pausedUntil
}

/** Writes the vector, or the beginning of it, on this thread; returns how many bytes that were. */
export function writeHere(fd: number, vector: readonly Uint8Array[], position: number): number {
  const [first] = vector
  const startedAt = performance.now()
  const written =
    (vector.length === 1 || isDeno) && first !== undefined
      ? fs.writeSync(fd, first, 0, first.length, position)
      : fs.writevSync(fd, vector, position)
  const endedAt = performance.now()
  if (endedAt - startedAt > slowMs) pausedUntil = endedAt + pauseMs
  return written
}
