/**
 * What a store is: the place where the bytes and the records of uploads live.
 *
 * A store keeps promises that the layers above build on:
 *
 * - `create` never overwrites. `get` answers `null` for an unknown id only; an outage throws (`StoreError`), because
 *   clients start over on a 404.
 * - An `offset` in a record never exceeds the bytes that survive a crash of the process, and never goes back.
 * - A body that **ends** (finished, client gone, told to give way) keeps every byte. A body that **throws** (checksum
 *   mismatch, limit passed) leaves this append as if it had never happened, then `append` rethrows what was thrown.
 * - Callers hold the upload's lock around everything but `create`, `get` and `read`.
 *
 * What a store can do is what it has methods for: an optional method that is missing switches its extension off.
 */

/** How an upload takes part in a concatenation, or `null` for a plain one. */
export type Concat =
  | {
      /** A piece, of which a final upload will be made. */
      readonly type: 'partial'
    }
  | {
      /** Made of partial uploads. */
      readonly type: 'final'
      /** The `Upload-Concat` value as the client sent it; HEAD echoes it. */
      readonly value: string
      /** Ids of the partial uploads, in order; the same id may appear twice. */
      readonly partials: readonly string[]
    }

/** Text by name. */
export type Attributes = Readonly<Record<string, string>>

/** One upload's record, as a store returns it. Drivers may add private fields of their own. */
export interface Upload {
  /** Names the upload in its URL and in the store. */
  readonly id: string
  /** Total bytes, or `null` while the client has deferred it. */
  readonly length: number | null
  /** Bytes stored for good, counted from the start. */
  readonly offset: number
  /** The `Upload-Metadata` value exactly as received, or `null`. `parseMetadata` decodes it. */
  readonly metadata: string | null
  /** What it is in a concatenation; `null` for an upload of its own. */
  readonly concat: Concat | null
  /** What hooks keep with the upload (`onCreate`); no client is told. `{}` for nothing. */
  readonly attributes: Attributes
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Milliseconds since the epoch after which an incomplete upload may be removed; `null` = never. */
  readonly expiresAt: number | null
  /**
   * Whether the upload was finished: all bytes are there *and* the finish callback succeeded. Reaching the length is
   * not yet completion.
   */
  readonly completed: boolean
}

/** What the layers above decide when an upload is made. */
export type NewUpload = Omit<Upload, 'offset' | 'completed'>

/** Fields of a record that may change after creation, other than by `append`. */
export type UploadChange = Partial<Pick<Upload, 'length' | 'expiresAt' | 'completed'>>

/** What `append` is told about a body. */
export interface AppendOptions {
  /**
   * The bytes are worthless unless the whole body arrives and verifies (a checksum): nothing of them may be counted
   * in an offset, not even after a crash, before the body has ended.
   * @default false
   */
  readonly atomic?: boolean
  /**
   * The body has a declared length, which fits: it may end early, but it will not throw for being too long.
   * @default false
   */
  readonly bounded?: boolean
  /** Bytes that the body has if its sender goes on to its end, where that is known. */
  readonly contentLength?: number
  /**
   * Called before each write that changes stored data. Throws (or rejects) when the lock has been lost to somebody
   * else; the store must not write then.
   */
  readonly guard?: () => void | Promise<void>
  /**
   * Tells that the body shall end early, for another request or since the server shuts down. The next chunk asked for is
   * the end then; a store that waits for anything but the body and its storage (for memory, say) asks now and then, and
   * goes on to that end without what it has not stored. Of an `atomic` body nothing counts then: it throws.
   */
  readonly isStopped?: () => boolean
  /** Called after bytes were stored, with the new offset; those that complete it may be durable later. Must not throw. */
  readonly onProgress?: (offset: number) => void
  /**
   * Frees the memory of a chunk of the body now, instead of when garbage is collected. A store that calls it does so
   * once nobody whom it gave the chunk to reads it any more; then the chunk is empty, or has bytes of another one.
   */
  readonly freeChunk?: (chunk: Uint8Array) => void
}

/** A range of bytes: `start` included, `end` excluded. */
export interface ByteRange {
  /** The first byte, counted from 0. */
  readonly start: number
  /** The byte behind the last one. */
  readonly end: number
}

/**
 * Where the bytes and the records of uploads live; docs/writing-a-store.md goes by task.
 * @template U The record as this store returns it, with private fields of its own.
 */
export interface Store<U extends Upload = Upload> {
  /** The most bytes that an upload can have here. @default no limit */
  readonly maxLength?: number

  /**
   * Makes a new upload with offset 0.
   * @throws StoreError with code `exists` when the id is taken: nothing is overwritten.
   */
  create(upload: NewUpload): Promise<U>

  /**
   * The record, or `null` when there is no such upload. Any other failure throws.
   * @param intent What the caller is going to do with it; a store may read more at once for that.
   */
  get(id: string, intent?: 'append'): Promise<U | null>

  /**
   * The record as this process itself wrote it last, without asking the storage, or null where that is not remembered. It
   * may be out of date, or its upload gone. So nobody is told of it, and if `append` to it then finds that the record is
   * another one, it throws a StoreError with code `lock_lost` and has changed nothing. Called with the lock held.
   */
  recall?(id: string): U | null

  /**
   * Writes the body's bytes from `upload.offset` on and returns the record with its new offset. `upload` is what `get`
   * (or `recall`) returned, so nothing is fetched twice. The caller caps the body: it never yields more than fits the length.
   */
  append(upload: U, body: AsyncIterable<Uint8Array>, options?: AppendOptions): Promise<U>

  /**
   * Changes the record. `completed: true` is called when all bytes are there; the bytes and the record are durable
   * when it returns.
   */
  update(upload: U, change: UploadChange): Promise<U>

  /**
   * Makes the bytes up to `upload.offset` survive a power failure. Called before a finish callback runs. A store whose
   * appends are durable anyway leaves it out.
   */
  sync?(upload: U): Promise<void>

  /** Removes bytes and record; afterwards `get` answers `null`. Removing what is already gone is not an error. */
  terminate(upload: U): Promise<void>

  /**
   * Every record that is not completed, in no particular order: what a sweep looks at. Records that cannot be read
   * are skipped, never guessed at.
   */
  incomplete(): AsyncIterable<U>

  /** What lies in the storage and belongs to no upload (any more): what a sweep clears away. */
  leftovers?(): AsyncIterable<Leftover>

  /** Bytes of a stored upload, from `range.start` up to but not including `range.end`. Enables GET. */
  read?(upload: U, range: ByteRange): AsyncIterable<Uint8Array>

  /**
   * Joins complete partial uploads, in this order, into `final`; returns its record with `length` and `offset` at the
   * total. Done again after a crash, it must arrive at the same bytes. Enables concatenation.
   */
  concatenate?(final: U, partials: readonly U[], options?: ConcatenateOptions): Promise<U>

  /**
   * Ids of final uploads, not yet joined, that name this partial upload. A store with this method remembers them
   * when `create` is given a final upload. Enables concatenation-unfinished.
   */
  finalsOf?(partialId: string): Promise<string[]>

  /** Asks whether the store can be used at all (directory writable, bucket reachable). Throws what is wrong. */
  check?(): Promise<void>
}

/** Something that an interrupted request has left in the storage. */
export interface Leftover {
  /** The upload it was meant for. */
  readonly id: string
  /** Looks again and removes it; false when it belongs to the upload after all. The upload's lock is held. */
  remove(): Promise<boolean>
}

/** What `concatenate` is told about the partial uploads. */
export interface ConcatenateOptions {
  /**
   * The partial uploads are removed once the result is durable, so their storage may be reused for it.
   * They must stay readable, byte for byte, until they are terminated.
   * @default false
   */
  readonly consumes?: boolean
  /** As in `AppendOptions`. */
  readonly guard?: () => void | Promise<void>
}
