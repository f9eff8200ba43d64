/** Bytes of a block: as many as a few large chunks have, and not much to hold for a peer that sends very few. */
export const blockBytes = 128 * 1024

/** Free blocks that are kept, for all uploads of this thread together. */
const mostFree = 64

const free: Buffer[] = []
/** What was made here: somebody else's buffer must not be taken for a block, whatever its size. */
const ours = new WeakSet<ArrayBufferLike>()

/** A block of bytes that nobody else uses, with whatever is in it. */
export function takeBlock(): Buffer {
  const known = free.pop()
  if (known !== undefined) return known
  const block = Buffer.allocUnsafeSlow(blockBytes)
  ours.add(block.buffer)
  return block
}

/**
 * Takes back the blocks among these pieces, one piece of each. Nobody may read them any more.
 * @param freeChunk Called with the others, which are chunks of a body.
 */
export function giveBack(pieces: readonly Uint8Array[], freeChunk?: (chunk: Uint8Array) => void): void {
  for (const piece of pieces) {
    if (!ours.has(piece.buffer)) freeChunk?.(piece)
    else if (free.length < mostFree) free.push(Buffer.from(piece.buffer))
  }
}
