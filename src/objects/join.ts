/** Objects made of ranges of others. */
import { StoreError } from '../errors.ts'
import type { Multipart, ObjectHeaders } from './bucket.ts'
import { type Holder, lend } from './buffers.ts'
import type { Engine } from './engine.ts'
import { partBytes } from './plan.ts'
import { readObject } from './read.ts'
import type { StoredPart } from './record.ts'

type Sent = Omit<StoredPart, 'number'>

/** A range of an object, at least one byte. */
export interface Piece {
  readonly key: string
  readonly start: number
  readonly end: number
}

/**
 * Makes an object of these pieces, on the storage's side wherever its rules for parts allow; what is too small to be a
 * part is read and sent.
 * @param length Bytes of the pieces, at least one.
 * @param check Called when all parts are there, before they become the object: nothing does if it throws.
 */
export async function joinPieces(
  engine: Engine,
  key: string,
  headers: ObjectHeaders,
  pieces: readonly Piece[],
  length: number,
  check: (() => void | Promise<void>) | undefined,
): Promise<void> {
  const { calls } = engine
  const multipart = { key, multipartId: await calls.createMultipart(key, headers) }
  try {
    const parts = await sendParts(engine, multipart, pieces, length)
    await check?.()
    const outcome = await calls.complete(
      multipart,
      parts.map((part, n) => ({ ...part, partNumber: n + 1 })),
      headers,
    )
    const object = await calls.head(key)
    if (object?.size !== length) {
      throw new StoreError('corrupt', `The object ${key} has ${object?.size ?? 'no'} bytes of ${length} (${outcome})`)
    }
  } catch (error) {
    await calls.abort(multipart).catch(() => {})
    throw error
  }
}

/** A part of the result: a piece that is copied, or pieces that are read and sent together. */
interface PlannedPart {
  readonly size: number
  readonly pieces: readonly Piece[]
  readonly isCopied: boolean
}

/** Sends the parts, several at a time. After a failure no further one begins, and none is on its way any more. */
export async function sendParts(
  engine: Engine,
  multipart: Multipart,
  pieces: readonly Piece[],
  length: number,
): Promise<Sent[]> {
  const holder: Holder = { held: 0, since: 0, release: () => {} }
  const planned = planParts(engine, multipart.key, pieces, length)
  const sent: Sent[] = []
  let next = 0
  let failure: { readonly error: unknown } | null = null
  const lane = async (): Promise<void> => {
    while (failure === null) {
      const index = next++
      const part = planned[index]
      if (part === undefined) return
      try {
        const etag = await sendPart(engine, multipart, index + 1, part, holder)
        if (etag === null) {
          throw new StoreError('unavailable', `The multipart of ${multipart.key} went away while it was made`)
        }
        sent[index] = { size: part.size, etag }
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(engine.partConcurrency, planned.length) }, lane))
  const failed = failure as { readonly error: unknown } | null
  if (failed !== null) throw failed.error
  return sent
}

async function sendPart(
  { calls, buffers, bucket, observer }: Engine,
  multipart: Multipart,
  partNumber: number,
  { size, pieces, isCopied }: PlannedPart,
  holder: Holder,
): Promise<string | null> {
  const [first] = pieces
  if (isCopied && calls.copyPart !== null && first !== undefined) {
    const { key, start, end } = first
    return calls.copyPart(multipart, partNumber, { key, range: { start, end } })
  }
  const buffer = await buffers.take(size, holder)
  return lend(buffers, buffer, holder, async () => {
    await readPieces({ bucket, observer }, buffer, pieces)
    return calls.putPart(multipart, partNumber, buffer)
  })
}

/** Goes through the pieces in order: what is large enough is copied, the rest gathered. */
function planParts(
  { calls, limits, partSize }: Engine,
  key: string,
  pieces: readonly Piece[],
  length: number,
): PlannedPart[] {
  const parts: PlannedPart[] = []
  const queue = [...pieces]
  const canCopy = calls.copyPart !== null && !limits.uniformParts
  for (let left = length; left > 0;) {
    const [piece] = queue
    if (piece === undefined) throw new StoreError('corrupt', `${key} would be ${left} bytes too short`)
    const whole = Math.min(piece.end - piece.start, limits.maxCopyBytes)
    const isCopied = canCopy && (whole === left || whole >= limits.minPartBytes)
    const size = isCopied ? whole : gatheredSize(left)
    parts.push({ size, pieces: take(size), isCopied })
    left -= size
  }
  return parts

  /** Up to where copying can go on, where it can; as much as planned where it cannot. */
  function gatheredSize(left: number): number {
    if (canCopy) return Math.min(limits.minPartBytes, left)
    const state = { length, stored: length - left, used: parts.length, first: parts[0]?.size ?? null }
    return Math.min(partBytes(limits, partSize, state), left)
  }

  /** The next so many bytes, off the queue. */
  function take(size: number): Piece[] {
    const taken: Piece[] = []
    for (let missing = size; missing > 0;) {
      const piece = queue.shift()
      if (piece === undefined) break
      const end = Math.min(piece.end, piece.start + missing)
      taken.push({ ...piece, end })
      if (end < piece.end) queue.unshift({ ...piece, start: end })
      missing -= end - piece.start
    }
    return taken
  }
}

/** Reads the pieces, one after the other. */
export async function readPieces(
  engine: Pick<Engine, 'bucket' | 'observer'>,
  buffer: Uint8Array,
  pieces: readonly Piece[],
): Promise<void> {
  let offset = 0
  for (const { key, start, end } of pieces) {
    for await (const chunk of readObject(engine, key, { start, end })) {
      buffer.set(chunk, offset)
      offset += chunk.byteLength
    }
  }
}
