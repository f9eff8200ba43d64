import { type Checksum, type ChecksumAlgorithm, verify } from '../body/checksum.ts'
import { type Cut, cutError, receive } from '../body/receive.ts'
import { TusError } from '../errors.ts'
import type { Upload, UploadChange } from '../store.ts'
import { checkLimit, type Context, limitOf, requireUpload } from './context.ts'
import { joinFinalsOf } from './concatenate.ts'
import { finish } from './finish.ts'
import { type Hold, withLock } from './lock.ts'

/** A body on its way to an upload. */
export interface Incoming {
  readonly request: Request
  /** Where in the upload its first byte belongs. */
  readonly offset: number
  /** The total length, where this request tells it for the first time; null = it does not. */
  readonly length: number | null
  readonly body: AsyncIterable<Uint8Array>
  /** Bytes of the body, where declared. */
  readonly contentLength: number | null
  /** What the body must hash to; null = unchecked. */
  readonly checksum: { algorithms: readonly ChecksumAlgorithm[]; expected: () => Checksum } | null
}

/** Appends a body to an upload and finishes the upload if that was the last of it. */
export async function append(context: Context, id: string, incoming: Incoming): Promise<Upload> {
  const appended = await withLock(context, id, async (hold) => {
    const upload = await requireUpload(context, id)
    if (upload.concat?.type === 'final') throw new TusError('final_upload')
    if (incoming.offset !== upload.offset) {
      throw new TusError('offset_mismatch', `Upload-Offset must be ${upload.offset}`, {
        headers: { 'Upload-Offset': String(upload.offset) },
      })
    }
    checkLength(upload, incoming.length)
    const { upload: after, cut } = await appendLocked(context, upload, incoming, hold)
    if (cut !== null) throw cutError(cut)
    return after
  })
  await joinFinalsOf(context, appended, incoming.request)
  return appended
}

/**
 * The same with the lock held and the record at hand. A body that was cut short keeps its bytes; `cut` says why.
 */
export async function appendLocked(
  context: Context,
  upload: Upload,
  incoming: Incoming,
  hold: Hold,
): Promise<{ upload: Upload; cut: Cut | null }> {
  const { request, checksum, contentLength } = incoming
  const limit = await limitOf(context, request, upload)
  if (incoming.length !== null) checkLimit(incoming.length, limit)
  const length = incoming.length ?? upload.length
  const room = (length ?? limit) - upload.offset
  if (contentLength !== null && contentLength > room) {
    throw new TusError('too_large', `The body has ${contentLength} bytes where ${room} are left`)
  }

  let current = upload
  let cut: Cut | null = null
  if (contentLength !== 0 || checksum !== null) {
    const { idleTimeoutMs } = context
    const { stop, guard } = hold
    const atomic = checksum !== null
    const received = receive(incoming.body, { room, expected: contentLength, idleTimeoutMs, stop, atomic })
    const body = checksum === null ? received : verify(received, checksum.algorithms, checksum.expected)
    const onProgress = progressReporter(context, upload, request)
    current = await context.store.append(upload, body, { atomic, guard, ...(onProgress && { onProgress }) })
    cut = received.cut
  }

  const change: { -readonly [K in keyof UploadChange]: UploadChange[K] } = {}
  if (incoming.length !== null) change.length = incoming.length
  if (current.offset > upload.offset) {
    const expiresAt = renewedExpiry(context, upload)
    if (expiresAt !== null) change.expiresAt = expiresAt
  }
  if (current.offset === length) return { upload: await finish(context, current, request, change), cut: null }
  if (Object.keys(change).length > 0) current = await context.store.update(current, change)
  return { upload: current, cut }
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

/** Calls `onProgress` at most once per upload and interval, across requests. */
function progressReporter(context: Context, upload: Upload, request: Request): ((offset: number) => void) | null {
  const { callbacks, progress, progressIntervalMs } = context
  const { onProgress } = callbacks
  if (onProgress === undefined) return null
  return (offset) => {
    const now = Date.now()
    if (now - (progress.get(upload.id) ?? 0) < progressIntervalMs) return
    progress.delete(upload.id)
    progress.set(upload.id, now)
    // Abandoned uploads must not pile up: the oldest entry comes first.
    const [oldest] = progress.size > 10_000 ? progress.keys() : []
    if (oldest !== undefined) progress.delete(oldest)
    try {
      onProgress({ upload: { ...upload, offset }, request })
    } catch (error) {
      context.report(error, request)
    }
  }
}
