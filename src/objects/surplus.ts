import { StoreError } from '../errors.ts'
import type { Multipart, Part } from './bucket.ts'
import { type Holder, lend } from './buffers.ts'
import { commit, type Engine, lostMultipart, overtaken } from './engine.ts'
import { type Piece, sendParts } from './join.ts'
import { nothing, type ObjectUpload, type StoredPart } from './record.ts'

/*
 * A multipart may have parts that do not count: of a process that was killed, of a body with a wrong checksum, of a
 * request that came too late. Storages make the object without them, all but Ceph's gateway, whose object is of all
 * parts or of none. There those that count are moved to a multipart of their own:
 *
 * 1. The record says which parts do not count, and that the upload is whole: nobody appends to it any more.
 * 2. The object is made of all parts, in the order of their numbers: those that do not count lie among the others.
 * 3. The ranges of it that count are copied into another multipart, and the record names that one instead.
 *
 * Until the object is made of that, which takes the other one's place at once, something else than the upload lies at its
 * key. Whoever goes on after a crash finds in the record what it is. Of several who do so at a time only one has its
 * multipart named, and none makes an object of another.
 */

/** How often parts are looked for that came since they were looked for. */
const mostLooks = 3

/**
 * Moves the parts that count to a multipart without others.
 * @param parts All that counts. Of those the record does not name, which hold its tail, the storage may have a later one.
 * @returns the upload as its record is then; as it was where there is no such multipart any more.
 */
export async function withoutSurplus(
  engine: Engine,
  upload: ObjectUpload,
  multipart: Multipart,
  parts: readonly StoredPart[],
): Promise<ObjectUpload> {
  const { calls } = engine
  let found = upload
  let counted = parts
  for (let look = 1; ; look++) {
    if (look > 1 || found.surplus.length === 0) {
      const listed = (await calls.parts?.(multipart)) ?? null
      // Somebody else has come as far as the object.
      if (listed === null) break
      counted = asListed(counted, upload.nextPart, listed)
      found = await recordSurplus(engine, found, multipart, counted, listed)
    }
    const outcome = await calls.complete(multipart, inOrder(counted, found.surplus), engine.headersOf(found))
    if (outcome !== 'invalid') break
    if (look === mostLooks) {
      const what = `${engine.bucket.name} does not complete the multipart of ${found.id} with all parts that it lists`
      throw new StoreError('unavailable', what, { transient: true })
    }
  }
  return found.surplus.length === 0 ? found : moveCounted(engine, found, counted)
}

/** Somebody else may have sent the tail of the same record, too, and got another ETag for it. */
function asListed(parts: readonly StoredPart[], nextPart: number, listed: readonly Part[]): readonly StoredPart[] {
  return parts.map((part) => {
    if (part.number < nextPart) return part
    const other = listed.find(({ partNumber, size }) => partNumber === part.number && size === part.size)
    return { ...part, etag: other?.etag ?? part.etag }
  })
}

/** Says in the record which parts do not count, all of a size that they may have anywhere. */
async function recordSurplus(
  engine: Engine,
  upload: ObjectUpload,
  multipart: Multipart,
  parts: readonly StoredPart[],
  listed: readonly Part[],
): Promise<ObjectUpload> {
  const { minPartBytes } = engine.limits
  const names = new Map(listed.map(({ partNumber, etag }) => [partNumber, bare(etag)]))
  if (parts.some(({ number, etag }) => names.get(number) !== bare(etag))) await lostMultipart(engine, upload)
  const counted = new Set(parts.map(({ number }) => number))
  const others = listed.filter(({ partNumber }) => !counted.has(partNumber))
  const last = parts.at(-1)
  const isLast = others.every(({ partNumber }) => partNumber < (last?.number ?? 0))
  // Only the last part may be small, and what it holds cannot be read.
  if (!isLast && (last?.size ?? 0) < minPartBytes) await lostMultipart(engine, upload)
  const rest = { parts, tail: nothing.tail }
  const nextPart = Math.max(upload.nextPart, (last?.number ?? 0) + 1)
  let fenced = upload
  const surplus: StoredPart[] = []
  for (const { partNumber: number, size, etag } of others) {
    if (size >= minPartBytes) surplus.push({ number, size, etag })
    else {
      // Before: these may count for somebody who has gone on with the upload.
      if (fenced === upload) fenced = await commit(engine, upload, { nextPart }, rest)
      surplus.push(await enlarge(engine, fenced, multipart, number))
    }
  }
  return commit(engine, fenced, { nextPart, surplus }, rest)
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

/** Copies what counts, out of the object of all parts, and names that in the record. */
async function moveCounted(engine: Engine, upload: ObjectUpload, parts: readonly StoredPart[]): Promise<ObjectUpload> {
  const { calls, keys } = engine
  const key = keys.data(upload.id)
  const all = await calls.head(key)
  const pieces = piecesOf(key, parts, upload.surplus)
  if (all === null || all.size !== pieces.total) return lostMultipart(engine, upload)
  const multipartId = await calls.createMultipart(key, engine.headersOf(upload))
  const multipart = { key, multipartId }
  const abort = () => calls.abort(multipart).catch(() => {})
  const sent = await sendParts(engine, multipart, pieces.counted, upload.offset).catch((error: unknown) => ({ error }))
  // Whoever finishes in the meantime puts something else in the place of what is copied from.
  if ((await calls.head(key))?.version !== all.version) {
    await abort()
    throw overtaken(engine, upload.id)
  }
  if ('error' in sent) {
    await abort()
    throw sent.error
  }
  const moved = sent.map((part, n) => ({ ...part, number: n + 1 }))
  const change = { multipartId, surplus: [], nextPart: moved.length + 1 }
  // Not aborted if this fails: the record may name it all the same. Else a sweep finds it.
  return commit(engine, upload, change, { parts: moved, tail: nothing.tail })
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
