import { StoreError } from '../errors.ts'
import type { Bucket, BucketLimits, Multipart, ObjectHeaders } from './bucket.ts'
import type { Buffers } from './buffers.ts'
import type { Claims } from './claims.ts'
import type { Keys } from './keys.ts'
import type { StorageObserver } from './observer.ts'
import { formatRecord, nothing, type ObjectUpload, parseRecord, type Rest } from './record.ts'
import type { Recent } from './recent.ts'
import type { Calls } from './retry.ts'
import type { AppendOptions } from '../store.ts'
import type { Tails } from './tails.ts'

/** What everything in this folder works with. */
export interface Engine {
  readonly bucket: Bucket
  readonly calls: Calls
  readonly observer: StorageObserver
  readonly keys: Keys
  readonly limits: BucketLimits
  readonly buffers: Buffers
  readonly tails: Tails
  readonly claims: Claims
  readonly recent: Recent
  /** Bytes that a part shall have. */
  readonly partSize: number
  /** Most bytes of a part of an upload that is alone and comes quickly. */
  readonly largestPart: number
  /** The same of one that is on its way while it is filled. */
  readonly largestStreamed: number
  /** Parts of one upload on their way at the same time. */
  readonly partConcurrency: number
  /** Milliseconds between two looks at whether a running append has something to record. */
  readonly checkpointMs: number
  /** Headers that the finished object is stored with. */
  readonly headersOf: (upload: ObjectUpload) => ObjectHeaders
}

/** Bytes of a record that are read for a look at it: all of it, mostly, but not a tail of megabytes. */
const lookBytes = 64 * 1024

/** The record, or null when there is none. @param whole With all its bytes: somebody is going to append. */
export async function readRecord({ calls, keys }: Engine, id: string, whole: boolean): Promise<ObjectUpload | null> {
  const key = keys.record(id)
  for (const range of whole ? [null] : [{ start: 0, end: lookBytes }, null]) {
    const object = await calls.get(key, range)
    if (object === null) return null
    const upload = parseRecord(object.bytes, object, key)
    if (upload !== null) return upload.id === id ? upload : null
  }
  throw new StoreError('corrupt', `The record ${key} cannot be used: it has no end`)
}

/** Where the upload's bytes are; read now unless they came with the record. */
export async function restOf(engine: Engine, upload: ObjectUpload): Promise<Rest> {
  if (upload.rest !== null) return upload.rest
  const again = await readRecord(engine, upload.id, true)
  if (again === null || again.rest === null || again.version !== upload.version) throw overtaken(engine, upload.id)
  return again.rest
}

/** What a commit may change. */
export type Change = Partial<Omit<ObjectUpload, 'id' | 'version' | 'revision' | 'tailBytes' | 'rest' | 'isRecalled'>>

/**
 * Replaces the record, provided that it still is what `upload` was read from.
 * @throws StoreError `lock_lost` when somebody else has changed or removed it.
 */
export async function commit(engine: Engine, upload: ObjectUpload, change: Change, rest: Rest): Promise<ObjectUpload> {
  const { calls, keys } = engine
  const { isRecalled: _, ...before } = upload
  const next = { ...before, ...change, revision: newRevision(), tailBytes: rest.tail.byteLength, rest }
  const version = await calls.put(keys.record(upload.id), formatRecord(next, rest), { ifMatch: upload.version })
  const written = { ...next, version: version ?? (await ownVersion(engine, next)) }
  engine.claims.follow(upload, written)
  return written
}

/** Makes the record say again what an append has found, but for the multipart, which may be another. */
export async function takeBack(
  engine: Engine,
  committed: ObjectUpload,
  { offset, tailBytes, rest }: ObjectUpload & { readonly rest: Rest },
  multipartId: string | null,
): Promise<void> {
  // What is not at hand is the front of the tail in the record, where nothing else is new.
  const { tail } = rest.tail.byteLength === tailBytes ? rest : await restOf(engine, { ...committed, rest: null })
  await commit(engine, committed, { offset, multipartId }, { ...rest, tail: tail.subarray(0, tailBytes) })
}

/** The version of a record whose write found its condition failed: it may have been written by a first attempt. */
export async function ownVersion(engine: Engine, written: ObjectUpload): Promise<string> {
  const found = await readRecord(engine, written.id, false)
  if (found?.revision !== written.revision) throw overtaken(engine, written.id)
  return found.version
}

export function newRevision(): string {
  return crypto.randomUUID().slice(0, 13)
}

/**
 * What to do when the storage does not know an upload's multipart: it was completed by somebody whose record never
 * got written, or aborted (a lifecycle rule), and only a look at the object tells. Always throws.
 * @throws StoreError `lock_lost`, so that the client asks for the offset again; `gone` when the bytes are.
 */
export async function lostMultipart(engine: Engine, upload: ObjectUpload): Promise<never> {
  const { calls, keys } = engine
  const object = await calls.head(keys.data(upload.id))
  // A length told with the last request may not be on record; then nothing but the whole upload lies there: before
  // something else does (surplus.ts), the record says the length.
  if (object !== null && (upload.length === null ? object.size >= upload.offset : object.size === upload.length)) {
    const { size } = object
    await commit(engine, upload, { length: size, offset: size, stored: true, multipartId: null, surplus: [] }, nothing)
    throw new StoreError('lock_lost', `${upload.id} was completed before; its record has been set right`)
  }
  // Written once more before it is removed: somebody who was overtaken must not remove the record of who goes on.
  await commit(engine, upload, { offset: 0, multipartId: null, surplus: [] }, nothing)
  await calls.delete(keys.record(upload.id))
  throw new StoreError(
    'gone',
    `The parts of ${upload.id} are gone from ${engine.bucket.name}: was its multipart upload aborted by a lifecycle rule?`,
  )
}

export function multipartOf({ keys }: Engine, upload: ObjectUpload, multipartId: string): Multipart {
  return { key: keys.data(upload.id), multipartId }
}

/** Somebody else has changed or removed the record. */
export function overtaken({ bucket }: Engine, id: string): StoreError {
  return new StoreError('lock_lost', `The record of ${id} in ${bucket.name} was changed by another process`)
}

/** Whether an append needs the tail that it found no more once it is on its way: nothing will have to be undone. */
export function mayForget({ atomic = false, bounded = false }: AppendOptions): boolean {
  // The record of an atomic one stays as it was found to the end.
  return bounded || atomic
}

export function tooLong({ id }: ObjectUpload): StoreError {
  return new StoreError('corrupt', `The body is longer than what is left of ${id}`)
}
