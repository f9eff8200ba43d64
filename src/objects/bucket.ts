/**
 * What the engine needs of an object storage, named after S3's actions. A driver translates these calls and nothing
 * else: no retries, no caching, no knowledge of uploads. `retrying` (retry.ts) repeats what fails in passing.
 *
 * Every call throws a `StoreError`: `unavailable` (with `transient: true` where trying again may help: 408, 429, 5xx,
 * resets, timeouts), `full` for a quota, and what the calls below say. Outcomes that the engine must tell apart are
 * return values, not errors.
 */

export interface Bucket {
  /** For messages: `s3://bucket/prefix`. */
  readonly name: string
  readonly limits: BucketLimits

  /**
   * An object's bytes, or those from `start` up to but not including `end`, clipped to what is there (`start` is below
   * the size); null when there is no such object.
   */
  get(key: string, range: ByteRange | null, options: CallOptions): Promise<StoredBytes | null>

  /** The same as a stream, for downloads and large ranges. Throws `corrupt` when there is no such object. */
  read(key: string, range: ByteRange, options: CallOptions): AsyncIterable<Uint8Array>

  /** Size and version of an object, or null when there is none. */
  head(key: string, options: CallOptions): Promise<ObjectInfo | null>

  /**
   * Stores an object as a whole. Returns its version, or null when the condition did not hold, in which case nothing was
   * changed.
   */
  put(key: string, bytes: Uint8Array, put: PutOptions, options: CallOptions): Promise<string | null>

  /** Removes an object; one that is not there is fine. */
  delete(key: string, options: CallOptions): Promise<void>

  /** Every object whose key starts with `prefix`, in no particular order. */
  list(prefix: string, options: CallOptions): AsyncIterable<ListedObject>

  /** Begins an object that is made of parts. Its key stays as it is (absent, mostly) until `complete`. */
  createMultipart(key: string, headers: ObjectHeaders, options: CallOptions): Promise<string>

  /**
   * Stores a part; sent again under the same number it replaces the former one. Returns what names this very part in
   * `complete`, at most some hundred characters; null when the multipart is not there (any more).
   */
  putPart(multipart: Multipart, partNumber: number, bytes: Uint8Array, options: CallOptions): Promise<string | null>

  /**
   * As `putPart`, of which some bytes may be still to come. Nothing is stored unless all of them do. With a driver
   * without it parts are sent when they are whole, out of one buffer.
   */
  streamPart?(multipart: Multipart, partNumber: number, body: PartBody, options: CallOptions): Promise<string | null>

  /**
   * As `putPart`, with bytes of another object in this bucket, without their passing through this process. A driver
   * without it has the bytes read and sent.
   */
  copyPart?(
    multipart: Multipart,
    partNumber: number,
    source: { readonly key: string; readonly range: ByteRange },
    options: CallOptions,
  ): Promise<string | null>

  /**
   * Makes the object out of these parts, at least one, in this order.
   *
   * - `completed`: the object is there.
   * - `missing`: there is no such multipart. It may have been completed (an answer that got lost) or aborted (a
   *   lifecycle rule): only a look at the object tells.
   * - `invalid`: a part is not there as named.
   */
  complete(
    multipart: Multipart,
    parts: readonly Part[],
    headers: ObjectHeaders,
    options: CallOptions,
  ): Promise<'completed' | 'missing' | 'invalid'>

  /**
   * All parts that a multipart has, in the order of their numbers; null when it is not there (any more). A driver has it
   * whose storage may say `invalid` because not all parts were named.
   */
  parts?(multipart: Multipart, options: CallOptions): Promise<readonly Part[] | null>

  /** Gives up a multipart and frees its parts; one that is not there is fine. */
  abort(multipart: Multipart, options: CallOptions): Promise<void>

  /** Every multipart that was begun and neither completed nor aborted, below keys that start with `prefix`. */
  multiparts(prefix: string, options: CallOptions): AsyncIterable<Multipart & { readonly createdAt: number }>

  /**
   * Asks whether the bucket can be used: it exists, the credentials may write, the clock is right, conditional writes
   * are honoured. @throws StoreError `unavailable` that says which of these fails and what to do.
   */
  check(options: CallOptions): Promise<void>
}

export interface BucketLimits {
  /** Least bytes of a part that is not the last. */
  readonly minPartBytes: number
  /** Most bytes of a part. */
  readonly maxPartBytes: number
  /** Most bytes of a part that is copied. */
  readonly maxCopyBytes: number
  /** Parts are numbered from 1 up to this. */
  readonly maxParts: number
  /** Whether all parts but the last must have the same size. */
  readonly uniformParts: boolean
  /**
   * Whether a part takes the place of an earlier one with its number. Else each part is one of its own, told apart by
   * its etag, and numbers only say in which order they are listed.
   */
  readonly partsReplace: boolean
  /** Whether `complete` says `completed` only of an object that surely has all bytes of the parts; else that is looked at. */
  readonly completesExactly: boolean
  /** Most bytes of an object stored by `put`. */
  readonly maxPutBytes: number
  /** Most bytes of an object. */
  readonly maxObjectBytes: number
}

/** A part that comes in pieces, some of which may be still to come. */
export interface PartBody {
  /** Bytes that it has in the end, or it is none. */
  readonly size: number
  /** From the first byte on, whenever it is called. Throws when the part is given up. */
  readonly pieces: () => AsyncIterable<Uint8Array>
  /** The part is given up: no call for it goes on. */
  readonly signal: AbortSignal
}

export interface CallOptions {
  /** Ends the call early, with a rejection. */
  readonly signal: AbortSignal
}

/** `start` included, `end` excluded. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface ObjectInfo {
  /** Bytes. */
  readonly size: number
  /** Changes whenever the object's content does: an ETag, a generation. */
  readonly version: string
}

export interface StoredBytes extends ObjectInfo {
  /** `size` of the whole object; these are the bytes of the range asked for. */
  readonly bytes: Uint8Array
}

export interface ListedObject {
  readonly key: string
  readonly size: number
}

/** Headers that the object is later served with. */
export interface ObjectHeaders {
  /** `Content-Type`. */
  readonly contentType?: string
  /** `Content-Disposition`. */
  readonly contentDisposition?: string
}

export interface PutOptions extends ObjectHeaders {
  /** Only if there is no object with this key. */
  readonly ifNoneMatch?: '*'
  /** Only if the object has this version. A missing object is a failed condition. */
  readonly ifMatch?: string
}

export interface Multipart {
  readonly key: string
  readonly multipartId: string
}

export interface Part {
  readonly partNumber: number
  /** What `putPart` returned. */
  readonly etag: string
  /** Bytes. */
  readonly size: number
}
