import { giveBack } from './blocks.ts'
import { gatherer } from './gather.ts'
import { write, writev } from './io.ts'
import { mayWriteHere, writeHere } from './quick.ts'

/**
 * Gathers chunks into large positional writes: one is on its way to the disk while the next one fills. After a failure
 * nothing is written any more: what would come next does not belong where the failed write left off.
 */
export interface VectorWriter {
  /** Takes a chunk over; a promise when the caller has to wait before it brings the next. Throws what a write threw. */
  push(chunk: Uint8Array): Promise<void> | undefined
  /** Writes what is left. Throws what a write or `settle` threw. */
  end(): Promise<void>
  /** Drops what was not written, waits for what is under way. Nothing is written afterwards. Never throws. */
  abandon(): Promise<void>
  /** First byte that is not written. */
  readonly position: number
}

export interface VectorOptions {
  /** Called before each write. */
  readonly guard?: (() => void | Promise<void>) | undefined
  /** Called after each write with the new position. */
  readonly onWritten?: ((position: number) => void) | undefined
  /** Whether a write of this file waits for the disk. */
  readonly isSynced?: boolean
  /** See `AppendOptions`. */
  readonly freeChunk?: ((chunk: Uint8Array) => void) | undefined
  /**
   * Sends to the disk what was written. Called now and then while the body still comes, so that the sync at its end
   * is short; nobody waits for it before `end`.
   */
  readonly settle?: (() => Promise<void>) | undefined
}

/**
 * Bytes gathered before they are written. Twice this, and one chunk, is about what an append holds in memory. Larger
 * ones save a few percent of the processor's time, but many uploads at a time need much more memory then.
 */
const vectorBytes = 512 * 1024

/** Bytes between two calls of `settle`: so few that the disk has work from the start where many uploads end together. */
const settleBytes = 16 << 20

/** Most calls of `settle` at a time in this thread: on a slow disk each holds a thread of the pool, which writes need. */
const mostSettling = 2

let settlingNow = 0

/** A slow body's bytes wait no longer than this to become durable, in milliseconds. */
const flushMs = 200

export function vectorWriter(fd: number, start: number, options: VectorOptions): VectorWriter {
  const { freeChunk } = options
  const waiting = gatherer(freeChunk)
  let position = start
  let settledTo = start
  let running: Promise<void> | undefined
  let settling: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let failure: { error: unknown } | undefined

  /** Starts writing what has gathered. Only while nothing else is being written. */
  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (failure !== undefined) return
    const { bytes } = waiting
    running = writeOut(waiting.take(), bytes)
      .catch(fail)
      .finally(() => {
        running = undefined
      })
  }

  function fail(error: unknown): void {
    failure ??= { error }
    clearTimeout(timer)
    timer = undefined
    waiting.take()
  }

  async function writeOut(vector: Uint8Array[], bytes: number): Promise<void> {
    const isHere = options.isSynced !== true && mayWriteHere(bytes)
    const checked = options.guard?.()
    if (checked !== undefined) await checked
    for (let rest = vector; rest.length > 0;) {
      const written = isHere ? writeHere(fd, rest, position) : await writeElsewhere(rest)
      if (written === 0) throw new Error('a write took no bytes')
      position += written
      rest = without(rest, written)
    }
    giveBack(vector, freeChunk)
    options.onWritten?.(position)
    settle()
  }

  /** In the thread pool. */
  async function writeElsewhere(vector: readonly Uint8Array[]): Promise<number> {
    const [first] = vector
    const { bytesWritten } =
      vector.length === 1 && first !== undefined
        ? await write(fd, first, 0, first.length, position)
        : await writev(fd, vector, position)
    return bytesWritten
  }

  /** One at a time: on a slow disk the next one takes more. */
  function settle(): void {
    if (options.settle === undefined || settling !== undefined || position - settledTo < settleBytes) return
    if (settlingNow >= mostSettling) return
    settledTo = position
    settlingNow++
    settling = options
      .settle()
      .catch(fail)
      .finally(() => {
        settlingNow--
        settling = undefined
      })
  }

  function onTimer(): void {
    timer = undefined
    // A write under way takes care of it: `push` or the next turn of the timer comes after it.
    if (running === undefined) flush()
    else timer = setTimeout(onTimer, flushMs)
  }

  async function turn(): Promise<void> {
    await running
    rethrow()
    if (waiting.bytes > 0) flush()
  }

  function rethrow(): void {
    if (failure !== undefined) throw failure.error
  }

  return {
    push(chunk) {
      rethrow()
      waiting.add(chunk)
      if (waiting.bytes >= vectorBytes) {
        if (running !== undefined) return turn()
        flush()
      } else {
        timer ??= setTimeout(onTimer, flushMs)
      }
      return undefined
    },

    async end() {
      clearTimeout(timer)
      await turn()
      await running
      await settling
      rethrow()
    },

    async abandon() {
      fail(abandoned)
      await running
      await settling
    },

    get position() {
      return position
    },
  }
}

const abandoned = new Error('The append was abandoned')

/** What is left of a vector after a write that took only some of it. */
function without(vector: Uint8Array[], written: number): Uint8Array[] {
  let left = written
  for (const [index, chunk] of vector.entries()) {
    if (left < chunk.length) return [chunk.subarray(left), ...vector.slice(index + 1)]
    left -= chunk.length
  }
  return []
}
