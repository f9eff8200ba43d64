/** Bytes of a block. Larger ones are no faster, but fall out of the processor's cache before they are written. */
const largeBytes = 512 * 1024

/** The same where many bodies come at a time, each of which has some. */
const smallBytes = 128 * 1024

/** Most bodies at a time that have large blocks. */
const mostLarge = 24

/** Bytes of free blocks that are kept of each size, for all bodies of this thread together. */
const mostFreeBytes = 16 << 20

/** So long may bytes wait for more of them, in milliseconds. */
const waitMs = 20

/** Fewer bytes, while no others wait, are handed over at once: the client is slow, and nobody gains by waiting. */
const fewBytes = 32 * 1024

type Block = Uint8Array<ArrayBuffer>

const free = new Map<number, Block[]>([largeBytes, smallBytes].map((size) => [size, []]))
/** All blocks: whoever is handed a chunk of one may not free it in any other way. */
const made = new WeakSet<ArrayBufferLike>()
/** Chunks that lie in a block of their own. Not their blocks: one given back twice may be another body's by then. */
const lent = new WeakSet<Uint8Array>()
/** Bodies that come at this time. */
let bodies = 0

/**
 * Takes back the block that a chunk lies in. Nobody may read it any more.
 * @returns whether that was to be given back.
 */
export function giveBodyBlock(chunk: Uint8Array): boolean {
  const { buffer } = chunk
  if (!(buffer instanceof ArrayBuffer) || !lent.delete(chunk)) return false
  put(new Uint8Array(buffer))
  return true
}

/** Whether a chunk lies in a block, given back or not. */
export function isInBodyBlock({ buffer }: Uint8Array): boolean {
  return made.has(buffer)
}

function put(block: Block): void {
  const kept = free.get(block.length)
  if (kept !== undefined && (kept.length + 1) * block.length <= mostFreeBytes) kept.push(block)
  else block.buffer.transfer(0)
}

function take(): Block {
  const size = bodies > mostLarge ? smallBytes : largeBytes
  return free.get(size)?.pop() ?? make(size)
}

function make(size: number): Block {
  const buffer = new ArrayBuffer(size)
  made.add(buffer)
  return new Uint8Array(buffer)
}

/** Makes chunks worth their handling of bytes that come and go. */
export interface BodyBlocks {
  /** Copies them; calls `onChunk` for what has become of them by now, or soon. */
  add(bytes: Uint8Array): void
  /** Ends it, with a call of `onChunk` for what waits. */
  end(): void
  /** Ends it and forgets what waits. */
  drop(): void
}

/** @param onChunk Called with chunks to keep, until they are given back. */
export function bodyBlocks(onChunk: (chunk: Uint8Array) => void): BodyBlocks {
  let block: Block | null = null
  let filled = 0
  let timer: NodeJS.Timeout | undefined
  let ended = false
  bodies++

  function hand(whole: Block, length: number): void {
    block = null
    filled = 0
    if (length * 2 < whole.length) {
      // Whoever keeps it would keep much more than he knows.
      const copy = own(whole.subarray(0, length))
      put(whole)
      onChunk(copy)
    } else {
      const chunk = whole.subarray(0, length)
      lent.add(chunk)
      onChunk(chunk)
    }
  }

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (block !== null) hand(block, filled)
  }

  function close(): void {
    if (!ended) bodies--
    ended = true
  }

  return {
    add(bytes) {
      if (block === null && bytes.length < fewBytes) {
        onChunk(own(bytes))
        return
      }
      for (let done = 0; done < bytes.length;) {
        block ??= take()
        const part = bytes.subarray(done, done + block.length - filled)
        block.set(part, filled)
        filled += part.length
        done += part.length
        if (filled === block.length) flush()
      }
      if (block !== null) timer ??= setTimeout(flush, waitMs)
    },
    end() {
      flush()
      close()
    },
    drop() {
      clearTimeout(timer)
      if (block !== null) put(block)
      block = null
      close()
    },
  }
}

/** In a buffer that has nothing else in it. */
function own(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}
