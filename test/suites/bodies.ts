/** Bytes and bodies for requests: reproducible, broken, stalled, streamed. */
import type { Bytes } from './support.ts'

/** Whole numbers below `below`, the same ones for the same seed. */
export function random(seed: number): (below: number) => number {
  let state = (seed * 2654435761) >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}

/** Bytes without a pattern, the same ones for the same seed. */
export function bytesOf(length: number, seed = 1): Bytes {
  const next = random(seed)
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = next(256)
  return bytes
}

export function text(value: string): Bytes {
  return new Uint8Array(new TextEncoder().encode(value))
}

export function concat(parts: readonly Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** A body of unknown length, made of these chunks. */
export function stream(...chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream(
    {
      pull(controller) {
        const chunk = chunks[at++]
        if (chunk === undefined) controller.close()
        else controller.enqueue(chunk)
      },
    },
    { highWaterMark: 0 },
  )
}

/** A body that the test feeds as it goes; it stands still between two writes. */
export interface Controlled {
  readonly stream: ReadableStream<Uint8Array>
  write(bytes: Uint8Array): void
  end(): void
  /** Breaks the body, as a lost connection does. */
  fail(): void
}

export function controlled(...first: readonly Uint8Array[]): Controlled {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>({
    start(c) {
      controller = c
      for (const chunk of first) c.enqueue(chunk)
    },
    // Whoever reads may end it at any moment; a client notices with its next bytes at the earliest.
    cancel() {
      controller = undefined
    },
  })
  return {
    stream: body,
    write: (bytes) => controller?.enqueue(bytes),
    end: () => controller?.close(),
    fail: () => controller?.error(new TypeError('connection lost')),
  }
}

/** `chunk` over and over, until nobody takes it any more; a network would let timers run in between, so this does. */
export function endless(chunk: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 0))
        controller.enqueue(chunk)
      },
    },
    { highWaterMark: 0 },
  )
}

/** An `Upload-Checksum` value. */
export async function checksum(algorithm: 'sha1' | 'sha256' | 'sha384' | 'sha512', bytes: Bytes): Promise<string> {
  const digest = await crypto.subtle.digest(algorithm.replace('sha', 'SHA-'), bytes)
  return `${algorithm} ${base64(new Uint8Array(digest))}`
}

export function base64(bytes: Uint8Array | string): string {
  const binary = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
  return btoa(Array.from(binary, (byte) => String.fromCharCode(byte)).join(''))
}
