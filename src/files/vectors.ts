import { write, writev } from './io.ts'

/** Gathers small chunks into large positional writes: one is on its way to the disk while the next one fills. */
export interface VectorWriter {
  /** Takes a chunk over; a promise when the caller has to wait before it brings the next. Throws what a write threw. */
  push(chunk: Uint8Array): Promise<void> | undefined
  /** Writes what is left. Throws what a write threw. */
  end(): Promise<void>
  /** Drops what was not written, waits for the write under way. Never throws. */
  abandon(): Promise<void>
  /** First byte that is not written. */
  readonly position: number
}

export interface VectorOptions {
  /** Called before each write. */
  readonly guard?: (() => void | Promise<void>) | undefined
  /** Called after each write with the new position. */
  readonly onWritten?: ((position: number) => void) | undefined
}

/** Bytes gathered before they are written. Twice this, and one chunk, is the most that an append holds in memory. */
export const vectorBytes = 1 << 20

/** As many buffers as Linux takes in one call (IOV_MAX is 1024) with room to spare: tiny chunks cost memory too. */
const vectorChunks = 512

/** A slow body's bytes wait no longer than this to become durable, in milliseconds. */
const flushMs = 200

export function vectorWriter(fd: number, start: number, options: VectorOptions): VectorWriter {
  let position = start
  let chunks: Uint8Array[] = []
  let bytes = 0
  let running: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let failure: { error: unknown } | undefined

  /** Starts writing what has gathered. Only while nothing else is being written. */
  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    const vector = chunks
    chunks = []
    bytes = 0
    running = writeOut(vector).then(
      () => {
        running = undefined
      },
      (error: unknown) => {
        running = undefined
        failure ??= { error }
      },
    )
  }

  async function writeOut(vector: Uint8Array[]): Promise<void> {
    const checked = options.guard?.()
    if (checked !== undefined) await checked
    for (let rest = vector; rest.length > 0;) {
      const [first] = rest
      const written =
        rest.length === 1 && first !== undefined
          ? (await write(fd, first, 0, first.length, position)).bytesWritten
          : (await writev(fd, rest, position)).bytesWritten
      if (written === 0) throw new Error('a write took no bytes')
      position += written
      rest = without(rest, written)
    }
    options.onWritten?.(position)
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
    if (bytes > 0) flush()
  }

  function rethrow(): void {
    if (failure !== undefined) throw failure.error
  }

  return {
    push(chunk) {
      rethrow()
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= vectorBytes || chunks.length >= vectorChunks) {
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
      rethrow()
    },

    async abandon() {
      clearTimeout(timer)
      chunks = []
      bytes = 0
      await running
    },

    get position() {
      return position
    },
  }
}

/** What is left of a vector after a write that took only some of it. */
function without(vector: Uint8Array[], written: number): Uint8Array[] {
  let left = written
  for (const [index, chunk] of vector.entries()) {
    if (left < chunk.length) return [chunk.subarray(left), ...vector.slice(index + 1)]
    left -= chunk.length
  }
  return []
}
