import type { Buffers, Holder } from './buffers.ts'

/** A part that is being filled: in one buffer, or in several of the same size since it has grown. */
export interface Filling {
  /** When it was begun, in milliseconds. */
  readonly since: number
  /** Bytes in it. */
  readonly filled: number
  /** Bytes that its buffers have room for. */
  readonly capacity: number
  /** Bytes of the buffer that it was begun with. */
  readonly step: number
  /** Puts in as many of these bytes as there is room for, `most` at most in all, and returns their number. */
  add(chunk: Uint8Array, most?: number): number
  grow(buffer: Uint8Array<ArrayBuffer>): void
  /** What is there from `start` on, up to the end of the buffer that it lies in. */
  piece(start: number): Uint8Array<ArrayBuffer>
  /** The first so many bytes; a copy if they lie in several buffers. */
  front(bytes: number): Uint8Array<ArrayBuffer>
  /** Gives its buffers back. */
  give(): void
  /** As `give`, while somebody may still read from them. */
  forget(): void
}

/** @param filled Bytes that are in the buffer already. */
export function fill(buffers: Buffers, holder: Holder, buffer: Uint8Array<ArrayBuffer>, filled: number): Filling {
  const all = [buffer]
  const since = (holder.since = Date.now())
  const step = buffer.byteLength
  let count = filled

  const piece = (start: number): Uint8Array<ArrayBuffer> => {
    const index = Math.floor(start / step)
    return all[index]?.subarray(start - index * step, count - index * step) ?? new Uint8Array(0)
  }

  return {
    since,
    step,
    get filled() {
      return count
    },
    get capacity() {
      return all.length * step
    },
    add(chunk, most = Infinity) {
      const index = Math.floor(count / step)
      const into = all[index]
      if (into === undefined) return 0
      const start = count - index * step
      const added = Math.min(chunk.byteLength, step - start, most - count)
      into.set(added === chunk.byteLength ? chunk : chunk.subarray(0, added), start)
      count += added
      return added
    },
    grow: (more) => void all.push(more),
    piece,
    front(bytes) {
      if (bytes <= step) return buffer.subarray(0, bytes)
      const copy = new Uint8Array(bytes)
      for (let at = 0; at < bytes; at += step) copy.set(piece(at).subarray(0, bytes - at), at)
      return copy
    },
    give() {
      for (const one of all.splice(0)) buffers.give(one, holder)
    },
    forget() {
      for (const one of all.splice(0)) buffers.forget(one, holder)
    },
  }
}
