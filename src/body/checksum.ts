/** Checksums of request bodies, computed while the bytes pass. */
import { TusError } from '../errors.ts'

/** Algorithms in the order in which `Tus-Checksum-Algorithm` names them, with their digests' bytes. */
const digestSizes = { sha1: 20, md5: 16, sha256: 32, sha384: 48, sha512: 64, crc32: 4 } as const

export type ChecksumAlgorithm = keyof typeof digestSizes

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  /** The digest the client says the body has. */
  readonly digest: Uint8Array
}

/** Reads `Upload-Checksum`. @throws TusError 400 when it is malformed or names an algorithm we lack. */
export function parseChecksum(value: string): Checksum {
  const [algorithm, encoded, ...rest] = value.trim().split(' ')
  if (algorithm === undefined || encoded === undefined || rest.length > 0) {
    throw new TusError('invalid_header', 'Upload-Checksum must be an algorithm, a space and a base64 digest')
  }
  if (!isSupported(algorithm)) {
    throw new TusError('checksum_algorithm', `Upload-Checksum must use one of ${checksumAlgorithms().join(', ')}`)
  }
  const digest = decodeBase64(encoded)
  if (digest?.byteLength !== digestSizes[algorithm]) {
    throw new TusError('invalid_header', `Upload-Checksum must hold a ${algorithm} digest in base64`)
  }
  return { algorithm, digest }
}

/** What this runtime can compute: everything where `node:crypto` exists, else what the Web platform offers. */
export function checksumAlgorithms(): ChecksumAlgorithm[] {
  const all = Object.keys(digestSizes) as ChecksumAlgorithm[]
  return all.filter(isSupported)
}

/**
 * Passes a body on and checks it at its end.
 * @param algorithms Those that the checksum may turn out to use: one, or all when a trailer will tell.
 * @param expected Asked once the body has ended.
 * @throws TusError 460 when the digest differs; what `expected` throws.
 */
export async function* verify(
  body: AsyncIterable<Uint8Array>,
  algorithms: readonly ChecksumAlgorithm[],
  expected: () => Checksum,
): AsyncGenerator<Uint8Array> {
  const hashers = new Map(algorithms.map((algorithm) => [algorithm, createHasher(algorithm)]))
  for await (const chunk of body) {
    for (const hasher of hashers.values()) await hasher.update(chunk)
    yield chunk
  }
  const { algorithm, digest } = expected()
  const actual = await hashers.get(algorithm)?.digest()
  if (actual?.byteLength !== digest.byteLength || actual.some((byte, index) => byte !== digest[index])) {
    throw new TusError('checksum_mismatch')
  }
}

/** Computes a digest chunk by chunk. */
export interface Hasher {
  update(chunk: Uint8Array): void | Promise<void>
  digest(): Uint8Array | Promise<Uint8Array>
}

function isSupported(name: string): name is ChecksumAlgorithm {
  if (!Object.hasOwn(digestSizes, name)) return false
  return name === 'crc32' || nodeCrypto !== undefined || DigestStream !== undefined
}

// The core imports web standards only, and those have no incremental digest. Node, Bun, Deno and Workers with
// nodejs_compat offer node:crypto without an import; plain Workers have crypto.DigestStream.
interface BuiltinModules {
  getBuiltinModule?(name: 'node:crypto'): { createHash(algorithm: string): NodeHash }
  getBuiltinModule?(name: 'node:zlib'): { crc32?: (chunk: Uint8Array, start: number) => number }
}
interface NodeHash {
  update(chunk: Uint8Array): unknown
  digest(): Uint8Array
}
interface DigestStreamConstructor {
  new (algorithm: string): WritableStream<Uint8Array> & { readonly digest: Promise<ArrayBuffer> }
}
const runtime = globalThis as { process?: BuiltinModules; crypto: { DigestStream?: DigestStreamConstructor } }
const nodeCrypto = runtime.process?.getBuiltinModule?.('node:crypto')
const nodeZlib = runtime.process?.getBuiltinModule?.('node:zlib')
const DigestStream = runtime.crypto.DigestStream

/** @throws TusError where this runtime cannot compute it: see `checksumAlgorithms`. */
export function createHasher(algorithm: ChecksumAlgorithm): Hasher {
  if (algorithm === 'crc32') return crc32Hasher()
  if (nodeCrypto !== undefined) {
    const hash = nodeCrypto.createHash(algorithm)
    return { update: (chunk) => void hash.update(chunk), digest: () => hash.digest() }
  }
  if (DigestStream === undefined) throw new TusError('checksum_algorithm')
  const stream = new DigestStream(algorithm === 'md5' ? 'MD5' : algorithm.replace('sha', 'SHA-'))
  const writer = stream.getWriter()
  return {
    update: (chunk) => writer.write(chunk),
    async digest() {
      await writer.close()
      return new Uint8Array(await stream.digest)
    },
  }
}

function crc32Hasher(): Hasher {
  const update = nodeZlib?.crc32 ?? crc32
  let value = 0
  return {
    update(chunk) {
      value = update(chunk, value)
    },
    // Big endian, as everywhere a CRC is written down.
    digest: () => Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255),
  }
}

/** CRC-32 as in IEEE 802.3 and zlib, continued from `start`. */
export function crc32(chunk: Uint8Array, start: number): number {
  let value = ~start
  for (const byte of chunk) value = (crcTable[(value ^ byte) & 255] ?? 0) ^ (value >>> 8)
  return ~value >>> 0
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

function decodeBase64(encoded: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}
