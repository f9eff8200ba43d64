import type { R2Binding } from '../buckets/r2-binding.ts'
import { r2Bucket } from '../buckets/r2.ts'
import { objectStore, type ObjectStoreOptions } from '../objects/store.ts'
import type { ObjectUpload } from '../objects/record.ts'
import type { Store } from '../store.ts'

export type { BufferMemory, StorageCall, StorageObserver } from '../objects/observer.ts'
export type { ObjectHeaders } from '../objects/bucket.ts'
export type { RetryOptions } from '../objects/retry.ts'
export type { ObjectStoreOptions }

export type { R2Binding }

/** What `r2Store` takes: the binding, and how uploads are kept in its bucket. */
export interface R2StoreOptions extends ObjectStoreOptions {
  /** The binding, as a Worker finds it in its `env`: `R2Bucket` of @cloudflare/workers-types. */
  readonly bucket: R2Binding

  /**
   * What all keys start with: `uploads/`, for example.
   * @default ''
   */
  readonly prefix?: string

  /**
   * As in `ObjectStoreOptions`, but a Worker has 128 MB for everything.
   * @default 64 MiB
   */
  readonly bufferBudget?: number
}

/**
 * Keeps uploads in a Cloudflare R2 bucket that is bound to the Worker. Make one store and one handler per isolate, not one
 * per request: the memory budget and the locks are shared by all requests of the isolate. That needs a
 * `compatibility_date` of 2024-10-14 or later; `nodejs_compat` is not needed. Tell the handler of
 * `ctx.waitUntil` (`Platform`), so that the bytes of a client that goes away are still stored.
 *
 * What it writes, all below `prefix`: `<id>` (the finished object), `<id>.info` (the record, with bytes too few for a
 * part), `.finals/` (which final uploads wait for which partial ones), and while `check` runs `.probe-<random>`.
 *
 * Permissions: a binding may do everything with its bucket; there is nothing to grant. Bucket lock rules must leave the
 * records and probes alone.
 *
 * Limits:
 *
 * - All parts have the same size, the last one excepted: 5 MiB to 32 MiB (R2 allows more, a Worker's memory does not), so
 *   that an upload has at most 312 GiB. What a PATCH sends behind its last whole part is kept in the record.
 * - Isolates do not share the default locker. Where requests for one upload meet in two of them, the conditional write of
 *   the record lets one go on and the other one fail with a 423. With `durableObjectLocker` the newest one goes on, and
 *   what had arrived for the other one is stored first.
 * - R2 takes about one write a second of the same object: clients should send chunks of several megabytes.
 * - Cloudflare takes request bodies of up to 100 MB (Free and Pro): clients have to send larger files in chunks.
 * - Each part is a call to R2, and a request may make a limited number of them (a plan's "subrequests").
 * - The binding cannot list unfinished multipart uploads. Those that belong to no upload (a Worker that was stopped
 *   before it had recorded them) go away by R2's own lifecycle rule, after 7 days by default; so do those of uploads
 *   that are continued later than that, whose clients then have to start over. Change the rule where that is too soon.
 *
 * @throws TypeError when an option is not usable. Nothing is read or written before the first use.
 */
export function r2Store(options: R2StoreOptions): Required<Store<ObjectUpload>> {
  const { bucket, prefix = '', bufferBudget = 64 * 1024 * 1024, ...rest } = options
  return objectStore(r2Bucket({ bucket, prefix }), { ...rest, bufferBudget })
}
