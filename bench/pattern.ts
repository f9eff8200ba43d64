/**
 * The bytes that uploads are made of: a block of noise, repeated. Its period is no multiple of any buffer, page or
 * vector, and each upload starts elsewhere in it, so bytes that were lost, swapped or mixed up between uploads show.
 */
import { createHash } from 'node:crypto'

/** A prime. */
const period = 1_048_583

/** Most bytes that `slice` returns. */
export const maxSlice = 256 * 1024

const noise = makeNoise()

/** Where the upload with this number starts in the noise. */
export function phaseOf(upload: number): number {
  return (upload * 65_537) % period
}

/** Bytes `start` up to at most `end` of an upload: fewer when `end` is far away. Not a copy. */
export function slice(phase: number, start: number, end: number): Uint8Array {
  const from = (phase + start) % period
  return noise.subarray(from, from + Math.min(end - start, maxSlice))
}

/** The sha256, in hexadecimal, of an upload's first `length` bytes. */
export function expectedHash(phase: number, length: number): string {
  const hash = createHash('sha256')
  for (let position = 0; position < length;) {
    const part = slice(phase, position, length)
    hash.update(part)
    position += part.length
  }
  return hash.digest('hex')
}

/** The same in every process: xorshift32 from a fixed seed. */
function makeNoise(): Buffer {
  const buffer = Buffer.alloc(period + maxSlice)
  let state = 0x9e3779b9
  for (let index = 0; index < period; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    buffer[index] = state
  }
  buffer.copy(buffer, period, 0, maxSlice)
  return buffer
}
