import fs from 'node:fs'
import { setImmediate } from 'node:timers'
import { isDeno } from './io.ts'

/**
 * Writes of up to so many bytes may be made on this thread: what an append gathers, unless a single chunk is larger. A
 * thread of the pool would take them out of another processor's cache, which costs a fifth of all that a large upload
 * takes.
 */
export const quickBytes = 1 << 20

/**
 * Bytes written on this thread before others have their turn. What comes by a connection lets them have it; a body that
 * is in memory already would be written to its end first, and nobody could even ask for it to stop.
 */
const turnBytes = 32 << 20

/**
 * A write that took longer, in milliseconds, says that the system makes writers wait; or that another process had this
 * thread's processor meanwhile, which on a busy machine happens all the time.
 */
const slowMs = 4

/** No other process has it for so long, in milliseconds: this was the disk. */
const verySlowMs = 50

/**
 * For so long nothing is written on this thread after a slow write, in milliseconds; doubled by each further one until
 * so many writes in a row were quick.
 */
const firstPauseMs = 20
const mostPauseMs = 5_000
const quickInRow = 50

/**
 * The same after a very slow one, in milliseconds; doubled by a further one that comes within as long a time behind it: a
 * disk that cannot keep up makes each writer wait, for a second perhaps.
 */
const firstLongPauseMs = 5_000
const mostLongPauseMs = 60_000

let pausedUntil = 0
let pauseMs = firstPauseMs
let longPauseMs = firstLongPauseMs
/** When the last long pause ended, or ends; there was none. */
let longPausedUntil = -Infinity
let inRow = 0
/** Bytes written on this thread since others had their turn. */
let turn = 0

/**
 * Whether a write may be made on this thread now. The system copies the bytes and returns, mostly before a trip to the
 * thread pool would be over; unless too many bytes wait for the disk already, or the file is far away.
 */
export function mayWriteHere(bytes: number): boolean {
  return bytes <= quickBytes && turn < turnBytes && performance.now() >= pausedUntil
}

/** Writes the vector, or the beginning of it, on this thread; returns how many bytes that were. */
export function writeHere(fd: number, vector: readonly Uint8Array[], position: number): number {
  const [first] = vector
  const startedAt = performance.now()
  const written =
    (vector.length === 1 || isDeno) && first !== undefined
      ? fs.writeSync(fd, first, 0, first.length, position)
      : fs.writevSync(fd, vector, position)
  note(startedAt, performance.now())
  if (turn === 0) setImmediate(endTurn)
  turn += written
  return written
}

function endTurn(): void {
  turn = 0
}

/** Judges a write by the time that it took. */
function note(startedAt: number, endedAt: number): void {
  const tookMs = endedAt - startedAt
  if (tookMs > verySlowMs) {
    const isAgain = startedAt - longPausedUntil < longPauseMs
    longPauseMs = isAgain ? Math.min(longPauseMs * 2, mostLongPauseMs) : firstLongPauseMs
    longPausedUntil = endedAt + longPauseMs
    pauseFor(longPauseMs, endedAt)
    pauseMs = mostPauseMs
  } else if (tookMs > slowMs) {
    pauseFor(pauseMs, endedAt)
    pauseMs = Math.min(pauseMs * 2, mostPauseMs)
  } else if (pauseMs > firstPauseMs && ++inRow === quickInRow) {
    pauseMs = firstPauseMs
    inRow = 0
  }
}

function pauseFor(ms: number, now: number): void {
  pausedUntil = now + ms
  inRow = 0
}
