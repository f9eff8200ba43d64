/**
 * Hooks: where an application decides what may happen to uploads, and hears of what did.
 *
 * Order for one upload: `onRequest` and `onAccess` before each request, `onCreate`, `onCreated`, any number of
 * `onProgress`, `onFinish`, `onFinished`; `onTerminate` and `onTerminated`, or `onExpire`, at its end. The hooks of one
 * upload never overlap within a process, but for those that ask about a request: `onRequest`, `onAccess`, `onLimit`.
 *
 * One rule for what they throw. Hooks that run before something (`onRequest`, `onAccess`, `onCreate`, `onFinish`,
 * `onPartialFinish`, `onTerminate`) keep it from happening: a `TusError` is the answer, with its status, message and
 * headers; anything else is answered 500 without details and told to `onError`. Hooks that run after it (`onCreated`,
 * `onFinished`, `onPartialFinished`, `onTerminated`) change nothing any more: what they throw is told to `onError`. `onProgress` does both: a
 * `TusError` stops the upload, anything else is told to `onError`. What `onExpire` throws is told to `onError`, and the
 * upload stays for the next sweep.
 */
import type { TusError } from './errors.ts'
import type { NewUpload, Upload } from './store.ts'

/** What a request wants. */
export type Operation = 'options' | 'create' | 'concatenate' | 'inspect' | 'append' | 'download' | 'terminate'

/**
 * What an application may decide and hear of. All are optional.
 * @template C What `onRequest` returns: who asks, for example. The other hooks of the request find it in `context`.
 */
export interface UploadHooks<C = unknown> {
  /**
   * Before a request is looked at any further, whatever its method; not for CORS preflights, which browsers send
   * without credentials, nor for what is answered 404 or 405 by its path and method alone. Throw to refuse it:
   * `throw new TusError('rejected', 'Sign in first', { status: 401, headers: { 'WWW-Authenticate': 'Bearer' } })`.
   * What it returns is `context` in all other hooks of this request.
   */
  readonly onRequest?: (event: RequestEvent) => C | Promise<C>

  /**
   * Before a request works with an upload that exists, those that a concatenation names included, and before anybody
   * else's request for it is disturbed. Throw `new TusError('not_found')` to hide it from those whose it is not.
   */
  readonly onAccess?: (event: AccessEvent<C>) => void | Promise<void>

  /**
   * How many bytes an upload may have at most, where that is less than `maxSize` says; undefined = no less. Asked when
   * it is created, before and after `onCreate`, and as long as its length is not known, before bytes are taken.
   */
  readonly onLimit?: (event: LimitEvent<C>) => number | undefined | Promise<number | undefined>

  /**
   * Before an upload is created, the partial ones of a parallel upload (`upload.concat`) included: clients send their
   * metadata with the final one only. `upload` is what will be stored; what is returned changes it. Throw to refuse it.
   */
  readonly onCreate?: (event: CreateEvent<C>) => void | Creation | Promise<void | Creation>

  /** After an upload was created and before its first byte and the answer. */
  readonly onCreated?: (event: UploadEvent<C>) => void | Promise<void>

  /**
   * Bytes were stored: those that complete an upload are durable by `onFinish` only. At most one call per upload in `progressIntervalMs`, one after the other, in order, never
   * after `onFinish`. `stop` ends the upload.
   */
  readonly onProgress?: (event: ProgressEvent<C>) => void | Promise<void>

  /**
   * When all bytes of an upload are there: also for empty, concatenated and creation-with-upload uploads; not for
   * partial uploads, which are only pieces. It runs before the answer, to which it may add. Runs at least once: when it
   * throws, or the process dies, the upload is not completed and the next HEAD or empty PATCH at the end runs it again,
   * with the same `eventId`.
   */
  readonly onFinish?: (event: UploadEvent<C>) => void | Reply | Promise<void | Reply>

  /** The same for partial uploads; what is made of them is finished by `onFinish`. */
  readonly onPartialFinish?: (event: UploadEvent<C>) => void | Reply | Promise<void | Reply>

  /**
   * After an upload was recorded as completed, before the answer; not for partial uploads. A crash in the moment before
   * leaves it out: what must not be missed belongs into `onFinish`.
   */
  readonly onFinished?: (event: UploadEvent<C>) => void | Promise<void>

  /** The same for partial uploads. */
  readonly onPartialFinished?: (event: UploadEvent<C>) => void | Promise<void>

  /** Before an upload is removed by DELETE. Throw to keep it. */
  readonly onTerminate?: (event: UploadEvent<C>) => void | Promise<void>

  /**
   * After an upload was removed: by DELETE, by `stop`, or because the request that created it failed. Not for what
   * expired, nor for partial uploads removed after their concatenation.
   */
  readonly onTerminated?: (event: UploadEvent<C>) => void | Promise<void>

  /** Before a sweep removes an expired upload. Runs at least once, with the same `eventId`. */
  readonly onExpire?: (event: UploadEvent<C>) => void | Promise<void>
}

/** Who asked. */
export interface RequestInfo {
  /** The request as it came, its headers included. Its body is not for hooks. */
  readonly request: Request
  /** The client's address as the connection shows it; undefined where the runtime does not tell. */
  readonly remoteAddress: string | undefined
  /** The client's port on that address; undefined where the runtime does not tell. */
  readonly remotePort: number | undefined
}

/** What `onRequest` is told. */
export interface RequestEvent extends RequestInfo {
  /** What the request wants. */
  readonly operation: Operation
  /** The upload that the path names; null where uploads are created. It need not exist. */
  readonly uploadId: string | null
  /** What the `onRequest` of earlier sets of hooks have returned (`combineHooks`); undefined where there are none. */
  readonly context?: object | undefined
}

/** What `onAccess` is told. */
export interface AccessEvent<C = unknown> extends RequestInfo {
  /** What the request wants. */
  readonly operation: Operation
  /** The upload that it names, as it was before. */
  readonly upload: Upload
  /** What `onRequest` returned. */
  readonly context: C | undefined
}

/** What `onCreate` is told. */
export interface CreateEvent<C = unknown> extends RequestInfo {
  /** The upload as it will be made, unless the hook changes it. */
  readonly upload: NewUpload
  /** What `onRequest` returned. */
  readonly context: C | undefined
}

/** What `onLimit` is told. */
export interface LimitEvent<C = unknown> {
  /** The upload that the limit is for. */
  readonly upload: NewUpload
  /** `null` when a sweep joins a final upload. */
  readonly request: Request | null
  /** The client's address, as in `RequestInfo`. */
  readonly remoteAddress: string | undefined
  /** What `onRequest` returned; undefined in a sweep. */
  readonly context: C | undefined
}

/** What hooks are told that hear of an upload. */
export interface UploadEvent<C = unknown> {
  /**
   * Names what happened, in ASCII without dots and spaces: the same each time a hook runs for it, in whichever process.
   */
  readonly eventId: string
  /** The upload as it is now. */
  readonly upload: Upload
  /**
   * The request that caused it: for a final upload that waited for its partials, the one that completed the last of
   * them. `null` when a sweep did.
   */
  readonly request: Request | null
  /** The client's address, as in `RequestInfo`. */
  readonly remoteAddress: string | undefined
  /** The client's port, as in `RequestInfo`. */
  readonly remotePort: number | undefined
  /** What `onRequest` returned for that request; undefined in a sweep. */
  readonly context: C | undefined
}

/** What `onProgress` is told, and can do. */
export interface ProgressEvent<C = unknown> extends UploadEvent<C> {
  /**
   * Ends the request's body and answers with the error, whose status decides whether the client comes back.
   * `terminate` removes the upload, else what has arrived stays. Called when the request is over already, it applies to
   * the next one that brings bytes; too late when `onFinish` has run.
   */
  readonly stop: (error: TusError, options?: { readonly terminate?: boolean }) => void
}

/** What `onCreate` may change. */
export interface Creation {
  /** Another id, as `generateId` may return; segments before it are a folder, or a prefix in a bucket. */
  readonly id?: string
  /** Other metadata, in place of the client's; HEAD tells it. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Kept with the upload, told to nobody but the hooks. Added to what other hooks have set. */
  readonly attributes?: Readonly<Record<string, string>>
  /** Goes behind the upload's URL in `Location`, as its query: what the client needs to come back with. */
  readonly query?: Readonly<Record<string, string>>
  /** For the answer to this POST. */
  readonly reply?: Reply
}

/** What a hook adds to a successful answer. */
export interface Reply {
  /**
   * From 200 to 399; tus clients take only 2xx for success. Left out of answers to HEAD.
   * @default 201 for a POST; 204 for a PATCH, 200 where there is a body
   */
  readonly status?: number
  /** In addition to those of the protocol, which they do not replace. */
  readonly headers?: Readonly<Record<string, string>>
  /** Left out of answers to HEAD. Say what it is in a `Content-Type` header. */
  readonly body?: string
}
