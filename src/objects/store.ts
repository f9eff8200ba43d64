import { StoreError } from '../errors.ts'
import { parseMetadata } from '../metadata.ts'
import { contentDisposition, contentType } from '../disposition.ts'
import { longestTimerMs } from '../platform.ts'
import type { NewUpload, Store } from '../store.ts'
import { appendBody } from './append.ts'
import { assemble } from './assemble.ts'
import type { Bucket, ByteRange, ObjectHeaders } from './bucket.ts'
import { createBuffers } from './buffers.ts'
import { createClaims, firstClaim } from './claims.ts'
import { concatenateObjects } from './concatenate.ts'
import { commit, type Engine, multipartOf, newRevision, ownVersion, readRecord, restOf } from './engine.ts'
import { addMarkers, removeMarkers, waitingFinals } from './finals.ts'
import { isStorable, objectKeys, plain } from './keys.ts'
import { leftoverMultiparts } from './leftovers.ts'
import { observed, type StorageObserver } from './observer.ts'
import { largestBytes, largestStreamedBytes } from './plan.ts'
import { readObject } from './read.ts'
import { createRecent } from './recent.ts'
import { formatRecord, isCompletedSize, nothing, type ObjectUpload, type Rest, unrecorded } from './record.ts'
import { limited, retrying, type RetryOptions } from './retry.ts'

/** How uploads are kept on object storage, whichever it is. */
export interface ObjectStoreOptions {
  /**
   * Bytes of a part, where nothing asks for more: an upload too long for the number of parts that the storage allows
   * gets larger ones. A part is held in memory until it is stored.
   * @default 8 MiB
   */
  readonly partSize?: number
  /** Parts of one upload that are sent at the same time. @default 4 */
  readonly partConcurrency?: number
  /**
   * Bytes of memory for parts, all uploads together; uploads wait for their turn instead of taking more. Mostly far
   * less is used.
   * @default 512 MiB
   */
  readonly bufferBudget?: number
  /**
   * Goes before the names of records, to keep them apart from the finished objects: `.info/`, for example. A bucket
   * with many objects wants one: a sweep lists everything below it.
   * @default ''
   */
  readonly infoPrefix?: string
  /**
   * Headers that finished objects are stored with, so that the storage itself serves them well. By default the type
   * and the file name of the metadata (`filetype`, `filename`), made safe; `false` = none.
   */
  readonly objectHeaders?: ((upload: NewUpload) => ObjectHeaders) | false
  /**
   * Milliseconds for which a multipart that no record names is left alone by a sweep: an append may just have begun it.
   * @default 86_400_000
   */
  readonly leftoverAgeMs?: number
  /** Milliseconds between the records of a running append. @default 5_000 */
  readonly checkpointMs?: number
  /** How failing calls are repeated. */
  readonly retry?: RetryOptions
  /** Is told about each call to the storage, for metrics and traces. */
  readonly observer?: StorageObserver
}

const mebibyte = 1024 * 1024

/**
 * A store on object storage.
 *
 * - `<id>`: the finished object; it appears when the upload is whole.
 * - `<id>.info`: the record (record.ts), with the bytes that are too few for a part.
 * - `.finals/`: which final uploads wait for which partial ones.
 *
 * @throws TypeError when an option makes no sense.
 */
export function objectStore(plainBucket: Bucket, options: ObjectStoreOptions = {}): Required<Store<ObjectUpload>> {
  const { observer } = options
  const bucket = observer === undefined ? plainBucket : observed(plainBucket, observer)
  const engine = createEngine(bucket, options)
  const { calls, keys, recent } = engine
  /**
   * Where what a caller still has in hand carries what its record has become since; copies of it do not. A WeakMap would
   * keep each of them until the old objects are collected.
   */
  const renewed = Symbol('renewed')
  const present = (upload: ObjectUpload & { [renewed]?: ObjectUpload }): ObjectUpload => upload[renewed] ?? upload

  async function remove(upload: ObjectUpload): Promise<void> {
    if (upload.multipartId !== null) await calls.abort(multipartOf(engine, upload, upload.multipartId))
    // Also of one that is not whole by its record: that may not have been written any more.
    await calls.delete(keys.data(upload.id))
    await removeMarkers(engine, upload)
    engine.claims.drop(upload.id)
  }

  /** So that nobody is about to move its parts to another multipart (surplus.ts), and to make an object of that. */
  async function fenced(upload: ObjectUpload): Promise<ObjectUpload> {
    if (calls.parts === null || upload.multipartId === null || upload.stored) return upload
    try {
      return await commit(engine, upload, {}, await restOf(engine, upload))
    } catch (error) {
      // Where it is removed already there is nobody.
      if ((await readRecord(engine, upload.id, false)) === null) return upload
      throw error
    }
  }

  /** Remembers what is to be appended to; nothing is to a final upload. */
  function keep(upload: ObjectUpload): ObjectUpload {
    if (upload.offset !== upload.length && upload.concat?.type !== 'final') recent.keep(upload)
    return upload
  }

  return {
    maxLength: bucket.limits.maxObjectBytes,

    async create(upload) {
      if (!isStorable(upload.id)) {
        throw new TypeError(`The id ${JSON.stringify(upload.id)} cannot be stored: no object can be named after it`)
      }
      // Something may lie there that is not ours.
      if (!plain.test(upload.id) && (await calls.head(keys.data(upload.id))) !== null) throw taken(bucket, upload.id)
      await addMarkers(engine, upload)
      const created: ObjectUpload = {
        id: upload.id,
        length: upload.length,
        metadata: upload.metadata,
        concat: upload.concat,
        createdAt: upload.createdAt,
        attributes: upload.attributes,
        expiresAt: upload.expiresAt,
        offset: 0,
        completed: false,
        version: '',
        revision: newRevision(),
        multipartId: null,
        nextPart: firstClaim(engine.limits, engine.partSize, upload.length),
        surplus: [],
        stored: false,
        tailBytes: 0,
        rest: nothing,
      }
      const key = keys.record(upload.id)
      const version = await calls.put(key, formatRecord(created, nothing), { ifNoneMatch: '*' })
      engine.claims.keep(created, { next: 1, end: created.nextPart })
      if (version !== null) return keep({ ...created, version })
      try {
        return keep({ ...created, version: await ownVersion(engine, created) })
      } catch (error) {
        if (error instanceof StoreError && error.code === 'lock_lost') throw taken(bucket, upload.id)
        throw error
      }
    },

    async get(id, intent) {
      if (!isStorable(id)) return null
      const upload = await readRecord(engine, id, intent === 'append')
      recent.drop(id, upload)
      return upload
    },

    recall: (id) => recent.take(id),

    async append(upload, body, appendOptions = {}) {
      recent.drop(upload.id)
      return keep(await appendBody(engine, present(upload), body, appendOptions))
    },

    async update(upload, change) {
      recent.drop(upload.id)
      const now = present(upload)
      const changed = { ...now, ...change }
      if (!changed.completed || now.completed)
        return keep(await commit(engine, now, change, now.stored ? nothing : await restOf(engine, now)))
      if (changed.offset !== changed.length) {
        throw new StoreError(
          'corrupt',
          `${changed.id} has ${changed.offset} bytes of ${changed.length}, it is not complete`,
        )
      }
      const { offset, length } = changed
      const whole = await assemble(engine, { ...now, offset, length })
      engine.claims.drop(now.id)
      return commit(engine, whole, { ...change, stored: true, multipartId: null, surplus: [] }, nothing)
    },

    async sync(upload) {
      recent.drop(upload.id)
      const now = present(upload)
      if ((now.stored && now.rest !== unrecorded) || now.offset !== now.length) return
      const whole = await assemble(engine, now)
      const value = await commit(engine, whole, { stored: true, multipartId: null, surplus: [] }, nothing)
      Object.defineProperty(upload, renewed, { value, configurable: true })
    },

    async terminate(upload) {
      recent.drop(upload.id)
      await remove(await fenced(present(upload)))
      // Last: what was only half removed can be removed once more.
      await calls.delete(keys.record(upload.id))
    },

    async *incomplete() {
      const ids = await calls.repeat('list', listTimeoutMs, async (callOptions) => {
        const found: string[] = []
        for await (const { key, size } of bucket.list(keys.records, callOptions)) {
          const id = keys.idOf(key)
          if (id !== null && !isCompletedSize(size)) found.push(id)
        }
        return found
      })
      for (let n = 0; n < ids.length; n += lookedAtOnce) {
        const found = await Promise.all(ids.slice(n, n + lookedAtOnce).map((id) => readable(engine, id)))
        for (const upload of found) if (upload !== null && !upload.completed) yield upload
      }
    },

    leftovers: () => leftoverMultiparts(engine, options.leftoverAgeMs ?? 86_400_000),

    async *read(upload, range) {
      const now = present(upload)
      if (now.stored) yield* readObject(engine, keys.data(now.id), range)
      else yield readTail(await restOf(engine, now), range, now.id)
    },

    async concatenate(final, partials, concatenateOptions = {}) {
      const joined = await concatenateObjects(engine, present(final), partials, concatenateOptions)
      await removeMarkers(engine, joined)
      return joined
    },

    finalsOf: (partialId) => waitingFinals(engine, partialId),

    check: () => limited(checkTimeoutMs, (callOptions) => bucket.check(callOptions)),
  }
}

const listTimeoutMs = 600_000
const checkTimeoutMs = 30_000
/** Records that a sweep reads at the same time. */
const lookedAtOnce = 8

function createEngine(bucket: Bucket, options: ObjectStoreOptions): Engine {
  const { partSize = 8 * mebibyte, partConcurrency = 4, bufferBudget = 512 * mebibyte, infoPrefix = '' } = options
  const { checkpointMs = 5_000, objectHeaders, observer = {} } = options
  requireCount('partSize', partSize)
  requireCount('partConcurrency', partConcurrency)
  requireCount('bufferBudget', bufferBudget)
  requireCount('checkpointMs', checkpointMs, longestTimerMs)
  const { attempts = 1, delayMs = 1, timeoutMs = 1 } = options.retry ?? {}
  requireCount('retry.attempts', attempts)
  requireCount('retry.delayMs', delayMs, longestTimerMs)
  requireCount('retry.timeoutMs', timeoutMs, longestTimerMs)
  if (typeof infoPrefix !== 'string' || /[\p{Cc}\ufffd]/u.test(infoPrefix)) {
    throw new TypeError(`infoPrefix must be printable text, not ${JSON.stringify(infoPrefix)}`)
  }
  // What lies in sockets and streams on its way to a part is memory, too, and so are tails. Without waiting, a few parts more than one
  // upload sends at once are had, so that one or two alone never wait.
  const buffers = createBuffers(bufferBudget * 0.8, (partConcurrency + 1) * partSize)
  observer.onBuffers?.({
    get used() {
      return buffers.used
    },
    budget: bufferBudget,
  })
  const tails = { held: 0, recording: 0, most: bufferBudget * 0.1 }
  return {
    bucket,
    calls: retrying(bucket, options.retry, observer),
    observer,
    keys: objectKeys(infoPrefix),
    limits: bucket.limits,
    buffers,
    tails,
    claims: createClaims(),
    recent: createRecent(tails),
    partSize,
    largestPart: largestBytes(buffers.alone, partConcurrency),
    largestStreamed: largestStreamedBytes(buffers.alone),
    partConcurrency,
    checkpointMs,
    headersOf: objectHeaders === false ? () => ({}) : (objectHeaders ?? headersFromMetadata),
  }
}

function requireCount(name: string, value: unknown, most = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || Number(value) < 1 || Number(value) > most) {
    throw new TypeError(`${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(value)}`)
  }
}

/** Partial uploads are pieces, of no type. */
function headersFromMetadata({ metadata, concat }: NewUpload): ObjectHeaders {
  if (concat?.type === 'partial') return {}
  const { filetype, filename } = parseMetadata(metadata)
  const type = contentType(filetype)
  return { contentType: type, contentDisposition: contentDisposition(type, filename) }
}

/** Null also for what cannot be read: one such record must not keep the others from being swept. */
async function readable(engine: Engine, id: string): Promise<ObjectUpload | null> {
  try {
    return await readRecord(engine, id, false)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'corrupt') return null
    throw error
  }
}

/** Of an upload without an object yet. Parts cannot be read before they are put together. */
function readTail({ parts, tail }: Rest, { start, end }: ByteRange, id: string): Uint8Array {
  if (parts.length > 0) throw new StoreError('unavailable', `${id} is not complete, its parts cannot be read`)
  return tail.subarray(start, end)
}

function taken({ name }: Bucket, id: string): StoreError {
  return new StoreError('exists', `${id} exists in ${name}`)
}
