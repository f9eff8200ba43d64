import { StoreError } from '../errors.ts'
import type { Multipart, Part } from './bucket.ts'
import { type Holder, lend } from './buffers.ts'
import { commit, type Engine, lostMultipart, overtaken } from './engine.ts'
import { joinPieces, type Piece } from './join.ts'
import { nothing, type ObjectUpload, type StoredPart } from './record.ts'

/*
 * A multipart may have parts that do not count: of a process that was killed, of a body with a wrong checksum, of a
 * request that came too late. Storages make the object without them, all but Ceph's gateway, whose object is of all
 * parts or of none. There it is made twice:
 *
 * 1. of all parts, in the order of their numbers: those that do not count lie among the others;
 * 2. of those ranges of it that count, which takes its place at once.
 *
 * In between something else than the upload lies at its key. What that is, the record says before it is made, so that
 * whoever goes on after a crash finds the ranges; it also says that the upload is whole, so that nobody appends to it.
 */

/** How often parts are looked for that came since they were looked for. */
const mostLooks = 3

/**
 * Makes the finished object of an upload whose multipart has other parts, too.
 * @param parts All that counts; where the record names the others already, what it says.
 * @returns the upload as its record is now.
 */
export async function assembleAmongOthers(
  engine: Engine,
  upload: ObjectUpload,
  multipart: Multipart,
  parts: readonly StoredPart[],
): Promise<ObjectUpload> {
  const { calls } = engine
  let found = upload
  for (let look = 1; ; look++) {
    if (look > 1 || found.surplus.length === 0) {
      const listed = (await calls.parts?.(multipart)) ?? null
      // Somebody else has come as far as the object.
      if (listed === null) break
      const surplus = await othersOf(engine, found, multipart, parts, listed)
      const nextPart = Math.max(found.nextPart, (parts.at(-1)?.number ?? 0) + 1)
      found = await commit(engine, found, { nextPart, surplus }, { parts, tail: nothing.tail })
    }
    const outcome = await calls.complete(multipart, inOrder(parts, found.surplus), engine.headersOf(found))
    if (outcome !== 'invalid') break
    if (look === mostLooks) {
      const what = `${engine.bucket.name} does not complete the multipart of ${found.id} with all parts that it lists`
      throw new StoreError('unavailable', what, { transient: true })
    }
  }
  await cutOut(engine, found, parts)
  return found
}

/** The parts that do not count, all of a size that they may have anywhere. */
async function othersOf(
  engine: Engine,
  upload: ObjectUpload,
  multipart: Multipart,
  parts: readonly StoredPart[],
  listed: readonly Part[],
): Promise<StoredPart[]> {
  const names = new Map(listed.map(({ partNumber, etag }) => [partNumber, bare(etag)]))
  if (parts.some(({ number, etag }) => names.get(number) !== bare(etag))) await lostMultipart(engine, upload)
  const counted = new Set(parts.map(({ number }) => number))
  const others = listed.filter(({ partNumber }) => !counted.has(partNumber))
  const last = parts.at(-1)
  const isLast = others.every(({ partNumber }) => partNumber < (last?.number ?? 0))
  // Only the last part may be small, and what it holds cannot be read.
  if (!isLast && (last?.size ?? 0) < engine.limits.minPartBytes) await lostMultipart(engine, upload)
  const surplus: StoredPart[] = []
  for (const { partNumber: number, size, etag } of others) {
    if (size >= engine.limits.minPartBytes) surplus.push({ number, size, etag })
    else surplus.push(await enlarge(engine, upload, multipart, number))
  }
  return surplus
}

/** Puts other bytes, as many as a part must have, in the place of a part that does not count. */
async function enlarge(
  engine: Engine,
  upload: ObjectUpload,
  multipart: Multipart,
  number: number,
): Promise<StoredPart> {
  const { buffers, calls } = engine
  const size = engine.limits.minPartBytes
  const holder: Holder = { held: 0, since: 0, release: () => {} }
  const buffer = await buffers.take(size, holder)
  const etag = await lend(buffers, buffer, holder, () => calls.putPart(multipart, number, buffer.fill(0)))
  if (etag === null) throw overtaken(engine, upload.id)
  return { number, size, etag }
}

/** Makes the object of what counts, out of the one of all parts. */
async function cutOut(engine: Engine, upload: ObjectUpload, parts: readonly StoredPart[]): Promise<void> {
  const { calls, keys } = engine
  const key = keys.data(upload.id)
  const all = await calls.head(key)
  // Somebody else was here before.
  if (all?.size === upload.offset) return
  const pieces = piecesOf(key, parts, upload.surplus)
  if (all === null || all.size !== pieces.total) return lostMultipart(engine, upload)
  const isAsFound = async (): Promise<void> => {
    // Whoever finishes in the meantime puts something else in the place of what is copied from.
    if ((await calls.head(key))?.version !== all.version) throw overtaken(engine, upload.id)
  }
  await joinPieces(engine, key, engine.headersOf(upload), pieces.counted, upload.offset, isAsFound)
}

/** Where the parts that count lie in an object of all; those side by side are one piece. */
function piecesOf(
  key: string,
  parts: readonly StoredPart[],
  surplus: readonly StoredPart[],
): { readonly counted: readonly Piece[]; readonly total: number } {
  const others = new Set(surplus)
  const counted: Piece[] = []
  let total = 0
  for (const part of [...parts, ...surplus].sort(byNumber)) {
    const [start, end] = [total, total + part.size]
    total = end
    if (others.has(part)) continue
    const before = counted.at(-1)
    if (before?.end === start) counted[counted.length - 1] = { ...before, end }
    else counted.push({ key, start, end })
  }
  return { counted, total }
}

function inOrder(parts: readonly StoredPart[], surplus: readonly StoredPart[]): Part[] {
  return [...parts, ...surplus].sort(byNumber).map(({ number, ...part }) => ({ ...part, partNumber: number }))
}

function byNumber(one: StoredPart, other: StoredPart): number {
  return one.number - other.number
}

/** An ETag, which is not written alike everywhere. */
function bare(etag: string): string {
  return etag.replaceAll('"', '')
}
