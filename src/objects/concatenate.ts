import { StoreError } from '../errors.ts'
import type { ConcatenateOptions } from '../store.ts'
import type { Multipart } from './bucket.ts'
import type { Holder } from './buffers.ts'
import { commit, type Engine } from './engine.ts'
import { partBytes } from './plan.ts'
import { readObject } from './read.ts'
import { nothing, type ObjectUpload, type StoredPart } from './record.ts'

type Sent = Omit<StoredPart, 'number'>

/** A piece of the result: a range of a partial upload's object. */
interface Piece {
  readonly key: string
  readonly start: number
  readonly end: number
}

/**
 * Joins the objects of complete partial uploads, on the storage's side wherever its rules for parts allow; what is too
 * small to be a part is read and sent. The record changes when the object is there, so that it can be done again.
 */
export async function concatenateObjects(
  engine: Engine,
  final: ObjectUpload,
  partials: readonly ObjectUpload[],
  { guard }: ConcatenateOptions,
): Promise<ObjectUpload> {
  const { calls, keys, limits } = engine
  const key = keys.data(final.id)
  const length = partials.reduce((sum, partial) => sum + partial.offset, 0)
  const pieces = partials.flatMap(({ id, offset }) =>
    offset === 0 ? [] : [{ key: keys.data(id), start: 0, end: offset }],
  )
  const headers = engine.headersOf({ ...final, length })
  const holder: Holder = { held: 0, since: 0, release: () => {} }
  await guard?.()
  if (length <= Math.min(limits.minPartBytes, limits.maxPutBytes) || length === 0) {
    const buffer = await engine.buffers.take(length, holder)
    try {
      await fill(engine, buffer, pieces)
      await calls.put(key, buffer, headers)
    } finally {
      engine.buffers.forget(buffer, holder)
    }
  } else {
    const multipart = { key, multipartId: await calls.createMultipart(key, headers) }
    try {
      const parts = await sendParts(engine, multipart, pieces, length, holder)
      await guard?.()
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
  await guard?.()
  return commit(engine, final, { length, offset: length, stored: true }, nothing)
}

/** Goes through the pieces in order: copies what is large enough, gathers the rest. */
async function sendParts(
  engine: Engine,
  multipart: Multipart,
  pieces: readonly Piece[],
  length: number,
  holder: Holder,
): Promise<Sent[]> {
  const { calls, limits, buffers } = engine
  const parts: Sent[] = []
  const queue = [...pieces]
  let left = length
  while (left > 0) {
    const [piece] = queue
    if (piece === undefined) throw new StoreError('corrupt', `${multipart.key} would be ${left} bytes too short`)
    const whole = piece.end - piece.start
    const size = Math.min(whole, limits.maxCopyBytes)
    const isLast = size === left
    const sent =
      calls.copyPart !== null && !limits.uniformParts && (isLast || size >= limits.minPartBytes)
        ? await copy(size)
        : await gatherPart()
    parts.push(sent)
    left -= sent.size
  }
  return parts

  async function copy(size: number): Promise<Sent> {
    const [{ key, start }] = take(size) as [Piece]
    const etag = await calls.copyPart?.(multipart, parts.length + 1, { key, range: { start, end: start + size } })
    return { size, etag: present(etag ?? null) }
  }

  async function gatherPart(): Promise<Sent> {
    const state = { length, stored: length - left, used: parts.length, first: parts[0]?.size ?? null }
    const planned = Math.min(partBytes(limits, engine.partSize, state), left)
    // Up to where copying can go on, where it can; as much as planned where it cannot.
    const size = calls.copyPart === null || limits.uniformParts ? planned : Math.min(limits.minPartBytes, left)
    const buffer = await buffers.take(size, holder)
    try {
      await fill(engine, buffer, take(size))
      return { size, etag: present(await calls.putPart(multipart, parts.length + 1, buffer)) }
    } finally {
      buffers.forget(buffer, holder)
    }
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

  function present(etag: string | null): string {
    if (etag === null)
      throw new StoreError('unavailable', `The multipart of ${multipart.key} went away while it was made`)
    return etag
  }
}

async function fill(engine: Engine, buffer: Uint8Array, pieces: readonly Piece[]): Promise<void> {
  let offset = 0
  for (const { key, start, end } of pieces) {
    for await (const chunk of readObject(engine, key, { start, end })) {
      buffer.set(chunk, offset)
      offset += chunk.byteLength
    }
  }
}
