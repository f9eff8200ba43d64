import type { UploadCallbacks } from '../hooks.ts'
import type { Locker } from '../locker.ts'
import type { Extension, ExpirationOptions, TusHandlerOptions } from '../options.ts'
import type { NewUpload, Store, Upload } from '../store.ts'
import type { Stop } from '../body/receive.ts'
import { TusError } from '../errors.ts'

/** What everything in this folder works with: the handler's options, defaults filled in, and its running state. */
export interface Context {
  readonly store: Store
  readonly locker: Locker
  readonly extensions: ReadonlySet<Extension>
  readonly callbacks: UploadCallbacks
  readonly maxSize: NonNullable<TusHandlerOptions['maxSize']>
  readonly maxMetadataSize: number
  readonly generateId: NonNullable<TusHandlerOptions['generateId']>
  readonly lockTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly expiration: ExpirationOptions | null
  readonly removePartials: boolean
  readonly downloads: boolean
  readonly progressIntervalMs: number
  /** Tells the application about a failure that is not the client's. */
  readonly report: (error: unknown, request: Request | null) => void
  /** Requests that hold a lock, each to be stopped at a shutdown. */
  readonly running: Set<Stop>
  /** When `onProgress` last ran, by upload. */
  readonly progress: Map<string, number>
  /** Set by `handler.close()`. */
  closing: boolean
}

/** The most bytes this upload may have; Infinity = no limit. */
export async function limitOf(context: Context, request: Request | null, upload: NewUpload): Promise<number> {
  const { maxSize, store } = context
  const { maxLength = Infinity } = store
  if (typeof maxSize !== 'function') return Math.min(maxSize || Infinity, maxLength)
  if (request === null) throw new TypeError('maxSize is a function and needs a request')
  const limit = await maxSize(request, upload)
  if (!(limit >= 0)) throw new TypeError(`maxSize returned ${String(limit)}, which is no number of bytes`)
  return Math.min(limit || Infinity, maxLength)
}

/** @throws TusError 413 when `length` is over `limit`. */
export function checkLimit(length: number, limit: number): void {
  if (length > limit) throw new TusError('too_large', `The upload is larger than the ${limit} bytes allowed`)
}

/** When an upload created or extended now expires, or null. */
export function expiryFromNow(context: Context): number | null {
  return context.expiration === null ? null : Date.now() + context.expiration.afterMs
}

/** Whether an upload may be removed: incomplete and past its time. */
export function isExpired(upload: Upload): boolean {
  return !upload.completed && upload.expiresAt !== null && upload.expiresAt <= Date.now()
}

/**
 * The record of an upload that requests may work with.
 * @throws TusError 404 when there is none, 410 when it has expired.
 */
export async function requireUpload(context: Context, id: string, intent?: 'append'): Promise<Upload> {
  const upload = await context.store.get(id, intent)
  if (upload === null) throw new TusError('not_found')
  if (isExpired(upload)) throw new TusError('gone')
  return upload
}
