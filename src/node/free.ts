import { giveBodyBlock, isInBodyBlock } from './body-blocks.ts'
import type { Incoming } from './platform.ts'

/** Node's parser of HTTP/1.1 copies each chunk of a body into a buffer of its own; others promise nothing. */
const isNode = process.versions.bun === undefined && !('Deno' in globalThis)

/** Less is not worth the call. */
const leastBytes = 4 * 1024

/**
 * What frees the chunks of a request's body. Only for requests that come from a server of our own, with nobody else in
 * between: chunks of others (a test's injected request, a body that was cloned) may be somebody's.
 * @param onFreed Called for each chunk that was freed, with its size in bytes.
 */
export function chunkFreer(
  incoming: Incoming,
  onFreed: (size: number) => void,
): ((chunk: Uint8Array) => void) | undefined {
  if (!isNode || 'stream' in incoming) return undefined
  return (chunk) => {
    const { buffer, byteLength } = chunk
    if (giveBodyBlock(chunk)) return onFreed(byteLength)
    if (isInBodyBlock(chunk)) return
    // Small ones share a buffer, or were put together.
    if (buffer.byteLength !== byteLength || byteLength < leastBytes || !(buffer instanceof ArrayBuffer)) return
    buffer.transfer(0)
    onFreed(byteLength)
  }
}
