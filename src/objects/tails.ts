/** Memory for tails beside the buffers. */
export interface Tails {
  /** Bytes that appends hold of tails that they have found; above `most` those are read again when they are needed. */
  held: number
  /** Bytes of tails in records that running appends write at this moment; above `most` others wait with theirs. */
  recording: number
  readonly most: number
}

/** How to let go of so many bytes that an append holds; null when it may not hold them. */
export function hold(tails: Tails, bytes: number): (() => void) | null {
  // A single one has no more than a part.
  if (tails.held > 0 && tails.held + bytes > tails.most) return null
  tails.held += bytes
  let held = bytes
  return () => {
    tails.held -= held
    held = 0
  }
}

/**
 * Writes a record with a tail of so many bytes, which is another copy in memory: of many uploads that would write theirs
 * at once some do so the next time.
 */
export async function recordWith(tails: Tails, bytes: number, write: () => Promise<void>): Promise<void> {
  if (tails.recording > 0 && tails.recording + bytes > tails.most) return
  tails.recording += bytes
  await write().finally(() => (tails.recording -= bytes))
}
