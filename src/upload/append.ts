import { type Checksum, type ChecksumAlgorithm, verify } from '../body/checksum.ts'
import { type Cut, cutError, receive } from '../body/receive.ts'
import { StoreError, TusError } from '../errors.ts'
import type { Upload, UploadChange } from '../store.ts'
import { joinFinalsOf } from './concatenate.ts'
import type { Caller } from './caller.ts'
import { checkAccess, checkLimit, type Context, isExpired, limitOf, requireUpload } from './context.ts'
import { finish, type FinishStage } from './finish.ts'
import { type Hold, withLock } from './lock.ts'
import { progressReporter, settleProgress, stopLate } from './progress.ts'
import { removeUpload } from './terminate.ts'

/** A body on its way to an upload. */
export interface Incoming {
  readonly caller: Caller
  /** Where in the upload its first byte belongs. */
  readonly offset: number
  /** The total length, where this request tells it for the first time; null = it does not. */
  readonly length: number | null
  readonly body: AsyncIterable<Uint8Array>
  /** See `Platform`. */
  readonly freeChunk: ((chunk: Uint8Array) => void) | undefined
  /** Bytes of the body, where declared. */
  readonly contentLength: number | null
  /** What the body must hash to; null = unchecked. */
  readonly checksum: { algorithms: readonly ChecksumAlgorithm[]; expected: () => Checksum } | null
}

/** An upload after a body, before its record says what came of it. */
export interface Received {
  readonly before: Upload
  readonly upload: Upload
  /** Why the body ended early, or null. */
  readonly cut: Cut | null
}

/** Appends a body to an upload and finishes the upload if that was the last of it. */
export async function append(context: Context, id: string, incoming: Incoming): Promise<Upload> {
  if (context.hooks.onAccess !== undefined) await checkAccess(context, id, 'append', incoming.caller)
  const appended = await withLock(context, id, async (hold) => {
    const { stop } = hold
    const recalled = recall(context, id, incoming)
    const upload = recalled ?? (await requireFitting(context, id, incoming, 'append'))
    stopLate(context, id, stop)
    const received = await receiveBody(context, upload, incoming, hold).catch(async (error: unknown) => {
      if (recalled !== null) await recheck(context, recalled, incoming, error)
      throw error
    })
    if (context.waitForProgress) await settleProgress(context, id, stop)
    if (stop.terminate) {
      await removeUpload(context, received.upload, incoming.caller, hold)
      throw cutError('stopped', stop)
    }
    const concluded = await conclude(context, received, incoming, hold)
    // Once it is completed nothing is left to be stopped.
    if (stop.error !== null && !concluded.upload.completed) throw stop.error
    if (concluded.cut !== null) throw cutError(concluded.cut, stop)
    return concluded
  })
  await joinFinalsOf(context, appended.upload, incoming.caller)
  return appended.upload
}

/**
 * What the store remembers of an upload, if this body fits it, or null: then the record has to be read. Every answer but
 * a success comes from a record that was read; so does one without bytes, or about a length.
 */
function recall({ store }: Context, id: string, { offset, length, contentLength }: Incoming): Upload | null {
  if (length !== null || contentLength === 0) return null
  const upload = store.recall?.(id) ?? null
  const fits = upload?.offset === offset && upload.length !== offset && upload.concat?.type !== 'final'
  return fits && !upload.completed && !isExpired(upload) ? upload : null
}

/** The record, read now. @throws TusError when there is none that the body can be appended to. */
async function requireFitting(context: Context, id: string, incoming: Incoming, intent?: 'append'): Promise<Upload> {
  const upload = await requireUpload(context, id, intent)
  if (upload.concat?.type === 'final') throw new TusError('final_upload')
  if (incoming.offset !== upload.offset) {
    throw new TusError('offset_mismatch', `Upload-Offset must be ${upload.offset}`, {
      headers: { 'Upload-Offset': String(upload.offset) },
    })
  }
  checkLength(upload, incoming.length)
  return upload
}

/**
 * What is remembered may be what made a body fail: the record is read now, and says it better.
 * @throws TusError what it says; 423 where the body was measured by another one.
 */
async function recheck(context: Context, recalled: Upload, incoming: Incoming, error: unknown): Promise<void> {
  // A failure of the storage is told as it is.
  if (!(error instanceof TusError) && !(error instanceof StoreError && error.code === 'lock_lost')) return
  const { length, createdAt } = await requireFitting(context, recalled.id, incoming)
  if (length !== recalled.length || createdAt !== recalled.createdAt)
    throw new TusError('locked', undefined, { cause: error })
}

/** Stores a body's bytes. Lock held. A body that is cut short keeps what arrived; one that throws leaves nothing. */
export async function receiveBody(
  context: Context,
  upload: Upload,
  incoming: Incoming,
  { stop, guard }: Hold,
): Promise<Received> {
  const { caller, checksum, contentLength, freeChunk } = incoming
  // One of known length was within the limit when that was told.
  const limit = upload.length === null ? await limitOf(context, caller, upload) : Infinity
  if (incoming.length !== null) checkLimit(incoming.length, limit)
  const room = (incoming.length ?? upload.length ?? limit) - upload.offset
  if (contentLength !== null && contentLength > room) {
    throw new TusError('too_large', `The body has ${contentLength} bytes where ${room} are left`)
  }
  if (contentLength === 0 && checksum === null) return { before: upload, upload, cut: null }

  const { idleTimeoutMs, minRate } = context
  const atomic = checksum !== null
  const limits = { room, expected: contentLength, idleTimeoutMs, minRate }
  const received = receive(incoming.body, { ...limits, stop, atomic })
  const body = checksum === null ? received : verify(received, checksum.algorithms, checksum.expected)
  const onProgress = progressReporter(context, upload, caller, stop)
  const after = await context.store.append(upload, body, {
    atomic,
    bounded: contentLength !== null,
    ...(contentLength !== null && { contentLength }),
    guard,
    isStopped: () => stop.reason !== null,
    ...(onProgress && { onProgress }),
    ...(freeChunk && { freeChunk }),
  })
  // All of it had come, but the store was told to end before it had the memory for it.
  const isShort = contentLength !== null && after.offset < upload.offset + contentLength
  return { before: upload, upload: after, cut: received.cut ?? (isShort ? stop.reason : null) }
}

/** Records what came of a body: a length told now, a renewed expiry, completion. Lock held. */
export async function conclude(
  context: Context,
  { before, upload, cut }: Received,
  incoming: Incoming,
  hold: Hold,
  onStage?: (stage: FinishStage) => void,
): Promise<{ upload: Upload; cut: Cut | null }> {
  const expiresAt = upload.offset > before.offset ? renewedExpiry(context, upload) : null
  const change: UploadChange = {
    ...(incoming.length !== null && { length: incoming.length }),
    ...(expiresAt !== null && { expiresAt }),
  }
  if (upload.offset === (incoming.length ?? upload.length)) {
    return { upload: await finish(context, upload, incoming.caller, hold, change, onStage), cut: null }
  }
  if (Object.keys(change).length === 0) return { upload, cut }
  await hold.guard()
  return { upload: await context.store.update(upload, change), cut }
}

/** Null where it stays as it is; that it moves by little is not worth writing a record for. */
function renewedExpiry({ expiration }: Context, upload: Upload): number | null {
  if (expiration === null || expiration.sliding === false) return null
  const expiresAt = Date.now() + expiration.afterMs
  return expiresAt - (upload.expiresAt ?? 0) > expiration.afterMs / 20 ? expiresAt : null
}

function checkLength(upload: Upload, length: number | null): void {
  if (length === null) return
  if (upload.length !== null) throw new TusError('invalid_header', 'Upload-Length is set already and cannot change')
  if (length < upload.offset) {
    throw new TusError('invalid_header', `Upload-Length is less than the ${upload.offset} bytes that are stored`)
  }
}
