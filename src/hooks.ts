import type { Upload } from './store.ts'

/**
 * Callbacks of an upload's life, in the order in which they run.
 *
 * `onCreate` runs before anything is stored; `onFinish` runs when all bytes are durable and before the client is
 * told; `onTerminate` runs before an upload is removed at a client's request. What they throw decides the answer:
 * a `TusError` goes to the client with its status and message, anything else becomes a 500 without details, and the
 * request has not happened (creation, termination) or is not completed (finish).
 */
export interface UploadCallbacks {
  /**
   * Before an upload is created, the partial ones of a parallel upload (`upload.concat`) included: clients send their
   * metadata with the final one only. `upload` is what will be stored. Throw to refuse it.
   */
  readonly onCreate?: (event: CreateEvent) => void | Promise<void>

  /**
   * When all bytes of an upload are there: also for empty, concatenated and creation-with-upload uploads; not for
   * partial uploads, which are only pieces. Runs at least once: when it throws, or the process dies, the upload is
   * not completed and the next HEAD or empty PATCH at the end runs it again.
   */
  readonly onFinish?: (event: UploadEvent) => void | Promise<void>

  /** Before an upload is removed by DELETE. Throw to keep it. */
  readonly onTerminate?: (event: UploadEvent) => void | Promise<void>

  /**
   * Bytes became durable. At most one call per upload in `progressIntervalMs`, in order, never after `onFinish`.
   * What it throws is reported to `onError` and changes nothing.
   */
  readonly onProgress?: (event: UploadEvent) => void | Promise<void>
}

export interface UploadEvent {
  readonly upload: Upload
  /**
   * The request that caused it: for a final upload that waited for its partials, the one that completed the last of
   * them. `null` when a sweep did.
   */
  readonly request: Request | null
}

export interface CreateEvent {
  readonly upload: Omit<Upload, 'offset' | 'completed'>
  readonly request: Request
}
