const { process } = globalThis as { process?: { versions?: { node?: string; bun?: string } } }

/** Node's parser copies each chunk of a body into a buffer of its own; other runtimes promise nothing. */
const isNode = process?.versions?.node !== undefined && process.versions.bun === undefined && !('Deno' in globalThis)

/** Frees the memory of a chunk that has its buffer for itself; another one is left to the collector. Returns whether. */
export function freeBuffer({ buffer, byteLength }: Uint8Array): boolean {
  if (!isNode || buffer.byteLength !== byteLength || !(buffer instanceof ArrayBuffer)) return false
  buffer.transfer(0)
  return true
}
