import type { Operation, UploadHooks } from '../hooks.ts'
import type { Locker } from '../locker.ts'
import type { Extension, ExpirationOptions, TusHandlerOptions } from '../options.ts'
import type { NewUpload, Store, Upload } from '../store.ts'
import type { MinRate } from '../body/pace.ts'
import type { Stop } from '../body/receive.ts'
import { TusError } from '../errors.ts'
import { type Caller, requestOf } from './caller.ts'

/** What everything in this folder works with: the handler's options, defaults filled in, and its running state. */
export interface Context {
  readonly store: Store
  readonly locker: Locker
  readonly extensions: ReadonlySet<Extension>
  readonly hooks: UploadHooks
  readonly maxSize: NonNullable<TusHandlerOptions['maxSize']>
  readonly maxMetadataSize: number
  readonly generateId: NonNullable<TusHandlerOptions['generateId']>
  readonly lockTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly minRate: MinRate | null
  readonly expiration: ExpirationOptions | null
  readonly removePartials: boolean
  readonly downloads: boolean
  readonly progressIntervalMs: number
  readonly waitForProgress: boolean
  /** The same as the state's. */
  readonly report: State['report']
  /** What all stores of a handler share. */
  readonly state: State
  /** Calls of `onProgress`, by upload. */
  readonly progress: Map<string, Progress>
}

export interface State {
  /** Requests that hold a lock, each to be stopped at a shutdown. */
  readonly running: Set<Stop>
  /** Set by `handler.close()`. */
  closing: boolean
  /** Tells the application about a failure that is not the client's. */
  readonly report: (error: unknown, caller: Caller | null) => void
}

export interface Progress {
  /** When it last ran. */
  at: number
  /** Settles when the call that runs has ended; never rejects. */
  running: Promise<void> | null
  /** How it stopped the upload when the request it was called for was over: for the next one. */
  late: { readonly error: TusError; readonly terminate: boolean } | null
}

/** The most bytes this upload may have; Infinity = no limit. */
export async function limitOf(context: Context, caller: Caller | null, upload: NewUpload): Promise<number> {
  const { maxSize, store, hooks } = context
  const { maxLength = Infinity } = store
  const most = hooks.onLimit === undefined ? maxLength : Math.min(maxLength, await hookLimit(hooks, caller, upload))
  if (typeof maxSize !== 'function') return Math.min(maxSize || Infinity, most)
  if (caller === null) throw new TypeError('maxSize is a function and needs a request')
  const limit = await maxSize(caller.request, upload)
  if (!(limit >= 0)) throw new TypeError(`maxSize returned ${String(limit)}, which is no number of bytes`)
  return Math.min(limit || Infinity, most)
}

async function hookLimit({ onLimit }: UploadHooks, caller: Caller | null, upload: NewUpload): Promise<number> {
  const { request = null, remoteAddress, context } = caller ?? {}
  const limit = (await onLimit?.({ upload, request, remoteAddress, context })) ?? Infinity
  if (!(limit >= 0)) throw new TypeError(`onLimit returned ${String(limit)}, which is no number of bytes`)
  return limit
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

/**
 * Asks whether a request may work with an upload, before its lock is taken: nobody's request is disturbed by one that
 * is refused. Who it belongs to does not change, so that need not be asked again under the lock.
 * @throws what `onAccess` throws; TusError 404 when there is no upload: one that is made while this request waits for
 * the lock would be used without having been asked about.
 */
export async function checkAccess(context: Context, id: string, operation: Operation, caller: Caller): Promise<void> {
  const upload = await context.store.get(id)
  if (upload === null) throw new TusError('not_found')
  await access(context, upload, operation, caller)
}

/** The same for an upload that has been read. */
export async function access(context: Context, upload: Upload, operation: Operation, caller: Caller): Promise<void> {
  await context.hooks.onAccess?.({ operation, upload, ...requestOf(caller) })
}
