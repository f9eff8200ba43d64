/** Chunks that wait to be written: no object per chunk, and no large buffer kept for the few bytes wanted of it. */
export interface Gatherer {
  /** Takes a chunk over. */
  add(chunk: Uint8Array): void
  /** Hands out everything, in order, and begins anew. */
  take(): Uint8Array[]
  /** Bytes that wait. */
  readonly bytes: number
}

/**
 * Chunks shorter than this are copied into blocks of this size: a peer can send a byte at a time, each of which comes
 * as an object of some hundred bytes, or as a view that keeps a buffer of 64 KiB from being freed. Longer ones are
 * kept as they are; copying those would cost more than they waste.
 */
const blockBytes = 16 * 1024

export function gatherer(): Gatherer {
  let pieces: Uint8Array[] = []
  let bytes = 0
  let block: Buffer | undefined
  /** The part of the block that is filled, but not among the pieces yet. */
  let from = 0
  let to = 0

  function seal(): void {
    if (block !== undefined && to > from) pieces.push(block.subarray(from, to))
    from = to
  }

  function copy(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length;) {
      if (block === undefined || to === block.length) {
        seal()
        block = Buffer.allocUnsafeSlow(blockBytes)
        from = 0
        to = 0
      }
      const part = chunk.subarray(done, done + block.length - to)
      block.set(part, to)
      to += part.length
      done += part.length
    }
  }

  return {
    add(chunk) {
      bytes += chunk.length
      // The first one as it is: most small bodies come in one chunk.
      if (chunk.length < blockBytes && (block !== undefined || pieces.length > 0)) {
        copy(chunk)
        return
      }
      seal()
      pieces.push(chunk)
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
