import { takeBlock } from './blocks.ts'

/** Chunks that wait to be written: no object per chunk, and no large buffer kept for the few bytes wanted of it. */
export interface Gatherer {
  /** Takes a chunk over. */
  add(chunk: Uint8Array): void
  /** Hands out everything, in order, and begins anew. What it hands out may go to `giveBack` when it is done with. */
  take(): Uint8Array[]
  /** Bytes that wait. */
  readonly bytes: number
}

/** Whether its buffer is worth keeping for it. */
const fillsBuffer = ({ buffer, byteLength }: Uint8Array): boolean => byteLength * 2 >= buffer.byteLength

/** Chunks of so many bytes are kept as they are where they can be freed: less would be saved than an object costs. */
const largeBytes = 16 * 1024

/**
 * The first chunk is kept as it is: most small bodies come in one. All others are copied into blocks that are used again
 * and again. A peer can send a byte at a time, each of which comes as an object of some hundred bytes, or as a view that
 * keeps a buffer of 64 KiB from being freed. And a chunk that waits for a write outlives the quick collections of new
 * objects; collecting everything each few MiB costs several times what copying does. Where large chunks are freed when
 * they are written, neither is needed.
 * @param freeChunk Called with what has been copied; whoever is handed the rest frees that.
 */
export function gatherer(freeChunk?: (chunk: Uint8Array) => void): Gatherer {
  let pieces: Uint8Array[] = []
  let bytes = 0
  let block: Buffer | undefined
  let filled = 0
  let isFirst = true

  function seal(): void {
    if (block !== undefined) pieces.push(block.subarray(0, filled))
    block = undefined
    filled = 0
  }

  function copy(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length;) {
      if (block?.length === filled) seal()
      block ??= takeBlock()
      const part = chunk.subarray(done, done + block.length - filled)
      block.set(part, filled)
      filled += part.length
      done += part.length
    }
  }

  return {
    add(chunk) {
      bytes += chunk.length
      // Not while a block is being filled: a peer that sends a byte between two of them would take a block for each.
      const isKept = freeChunk !== undefined && block === undefined && chunk.length >= largeBytes && fillsBuffer(chunk)
      if (isFirst || isKept) {
        pieces.push(chunk)
      } else {
        copy(chunk)
        freeChunk?.(chunk)
      }
      isFirst = false
    },

    take() {
      seal()
      const taken = pieces
      pieces = []
      bytes = 0
      return taken
    },

    get bytes() {
      return bytes
    },
  }
}
