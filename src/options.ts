import type { UploadHooks } from './hooks.ts'
import type { Locker } from './locker.ts'
import type { Platform } from './platform.ts'
import type { NewUpload, Store } from './store.ts'

/** An extension of tus 1.0.0, as `Tus-Extension` names it. */
export type Extension =
  | 'creation'
  | 'creation-with-upload'
  | 'creation-defer-length'
  | 'expiration'
  | 'checksum'
  | 'checksum-trailer'
  | 'termination'
  | 'concatenation'
  | 'concatenation-unfinished'

const isExtension: Readonly<Record<Extension, true>> = {
  creation: true,
  'creation-with-upload': true,
  'creation-defer-length': true,
  expiration: true,
  checksum: true,
  'checksum-trailer': true,
  termination: true,
  concatenation: true,
  'concatenation-unfinished': true,
}

/** All of them. */
export const extensionNames = Object.keys(isExtension) as readonly Extension[]

/**
 * What `createTusHandler` takes. Only `path` and `store` are required.
 * @template C What `onRequest` returns.
 */
export interface TusHandlerOptions<C = unknown> extends UploadHooks<C> {
  /** Where the handler is mounted, such as `/files` or `/`; a trailing slash makes no difference. */
  readonly path: string

  /**
   * Where uploads are kept: `memoryStore()`, `fileStore({ directory })` or your own. Or a function that tells it for a
   * request, after `onRequest` (`context` is what that returned): a directory or a bucket per tenant. It must return
   * the same object each time it means the same store.
   */
  readonly store: Store | ((request: Request, context: C) => Store | Promise<Store>)

  /**
   * Lets one request at a time work on an upload. Several processes on one store need a locker that they share.
   * Where `store` is a function, a locker given here is used for all stores, so their ids must not be the same.
   * @default memoryLocker(), the same one for all handlers of a store object: for one process
   */
  readonly locker?: Locker

  /**
   * Largest upload in bytes, or a function that tells it for this upload; 0 = no limit. A number is advertised as
   * `Tus-Max-Size`. Enforced on declared, deferred, streamed and concatenated lengths alike, by a 413.
   * @default 0
   */
  readonly maxSize?: number | ((request: Request, upload: NewUpload) => number | Promise<number>)

  /**
   * Longest `Upload-Metadata` in bytes; more is a 400.
   * @default 8192
   */
  readonly maxMetadataSize?: number

  /**
   * Switches extensions off (`{ termination: false }`). An extension is on, and advertised, when it is not switched
   * off and the store can do it; `expiration` needs `expiration`, and `checksum-trailer` a runtime that tells
   * trailers (Node). Concatenated uploads cost storage for their pieces, so a server may want it off.
   * @default all on
   */
  readonly extensions?: Readonly<Partial<Record<Extension, boolean>>>

  /**
   * Makes the id of a new upload: one or more segments joined by `/`, of letters, digits and ``!$&'()+,;=@._~-`` and
   * spaces, none starting with a dot. An id that is taken is answered 409, an invalid one 500.
   * @default 128 random bits in hexadecimal
   */
  readonly generateId?: (request: Request, upload: Omit<NewUpload, 'id'>) => string | Promise<string>

  /**
   * How long a request waits for an upload that another one works on, in milliseconds; then it is answered 423.
   * @default 20_000
   */
  readonly lockTimeoutMs?: number

  /**
   * How long a request body may stand still, in milliseconds, before what has arrived is stored and the request
   * ends; 0 = for ever.
   * @default 60_000
   */
  readonly idleTimeoutMs?: number

  /**
   * Least bytes per second of a request body, on average over `minRateWindowMs` of waiting for the client; the time that
   * the storage takes does not count. A slower one is ended as one that stands still is: what has arrived is stored, and
   * the client comes back when it can. 0 = as slow as it likes.
   * @default 0
   */
  readonly minRate?: number

  /**
   * Milliseconds over which `minRate` is looked at.
   * @default 10_000
   */
  readonly minRateWindowMs?: number

  /** Lets incomplete uploads expire. `handler.sweep()` removes what has. @default never */
  readonly expiration?: ExpirationOptions

  /**
   * Removes the partial uploads once the final upload made of them is durable.
   * @default false
   */
  readonly removePartials?: boolean

  /**
   * Answers GET with the bytes of completed uploads.
   * @default false
   */
  readonly downloads?: boolean

  /** Which web pages may upload from another origin; `false` sends no CORS header at all. @default any origin */
  readonly cors?: CorsOptions | false

  /** How `Location` is made. @default absolute, from the request's URL */
  readonly location?: LocationOptions

  /**
   * Least milliseconds between two `onProgress` calls of an upload.
   * @default 500
   */
  readonly progressIntervalMs?: number

  /**
   * Whether each body's request waits at its end for the `onProgress` that still runs, not only that which ends the
   * upload: what it decides counts then, and what it tells comes before all that follows, also where another process
   * goes on with the upload.
   * @default false
   */
  readonly waitForProgress?: boolean

  /** Told about every failure that is not the client's: what is answered 5xx, and what failed in the background. */
  readonly onError?: (error: unknown, request: Request | null) => void | Promise<void>
}

/** When incomplete uploads expire. */
export interface ExpirationOptions {
  /** Milliseconds an incomplete upload lives. */
  readonly afterMs: number
  /**
   * Whether each PATCH that stored something starts the time anew.
   * @default true
   */
  readonly sliding?: boolean
}

/** Which pages in browsers may upload from another origin, and what they may send and read. */
export interface CorsOptions {
  /**
   * Origins that may use the server: `'*'`, an exact origin (`https://app.example.com`), a regular expression, a
   * function, or a list of them. An origin that is not allowed gets no CORS headers, so its browser refuses.
   * @default '*'
   */
  readonly allowOrigin?: OriginRule | readonly OriginRule[]
  /**
   * Lets browsers send cookies. The origin is then always named, never `*`; needs origins other than `'*'`.
   * @default false
   */
  readonly allowCredentials?: boolean
  /** Request headers allowed besides those of tus. @default none */
  readonly allowHeaders?: readonly string[]
  /** Response headers readable besides those of tus. @default none */
  readonly exposeHeaders?: readonly string[]
  /** Seconds a browser may remember a preflight. @default 86_400 */
  readonly maxAgeSeconds?: number
}

/** Says whether an origin may use the server. */
export type OriginRule = string | RegExp | ((origin: string, request: Request) => boolean)

/** What the URLs of uploads are made of. */
export interface LocationOptions {
  /** Public address of the mount, `https://uploads.example.com/files`; wins over everything else. */
  readonly baseUrl?: string
  /** Answers a path instead of an absolute URL; right behind every proxy that keeps paths. @default false */
  readonly relative?: boolean
  /**
   * Takes scheme, host, port and prefix from `Forwarded` or `X-Forwarded-Proto/-Host/-Port/-Prefix`. Only where a
   * proxy of yours sets them: anybody can send them. @default false
   */
  readonly trustForwarded?: boolean
}

/** What `handler.sweep()` did. */
export interface SweepResult {
  /** Uploads removed because they had expired. */
  readonly removed: number
  /** Uploads left for the next time: a request works on them, or removing or joining them failed. */
  readonly skipped: number
  /** Final uploads whose partials had been completed meanwhile and that are now complete. */
  readonly concatenated: number
  /** Remains of interrupted requests removed from the storage (parts of a bucket that belong to no upload). */
  readonly leftovers: number
}

/** The handler: a function from request to response, with what a server around it needs. */
export interface TusHandler {
  /** Answers one request. Never rejects: failures are answers. */
  (request: Request, platform?: Platform): Promise<Response>
  /**
   * What is on. `Tus-Extension` leaves out checksum-trailer where the runtime cannot tell trailers, and what the store
   * of the request cannot do where `store` is a function.
   */
  readonly extensions: readonly Extension[]
  /**
   * Removes expired incomplete uploads, never completed ones, and completes final uploads whose partials are done.
   * Safe beside running uploads and other processes. Call it from time to time.
   * @param store The store to sweep, where the handler's is a function; else the handler's.
   * @throws StoreError when the store cannot be asked; TypeError when it is not known which one.
   */
  sweep(store?: Store): Promise<SweepResult>
  /**
   * For a shutdown: running bodies are cut, what arrived is stored, and their requests are answered 503, which
   * clients retry; new uploads and bodies are refused the same way. Resolves when no request is running.
   */
  close(): Promise<void>
}
