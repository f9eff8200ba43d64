/**
 * The two kinds of failure, and the one table that gives each a status.
 *
 * The statuses follow what clients do next. tus-js-client retries 409, 423 and everything that is not 4xx; any other
 * 4xx is final. On a HEAD it waits for 423 only and starts a new upload on any other failure, so 423 is what a lock
 * timeout answers.
 */

/** What an answer is about; each code has a status and a sentence of its own. */
export type TusErrorCode =
  | 'invalid_header'
  | 'invalid_request'
  | 'checksum_algorithm'
  | 'extension_off'
  | 'rejected'
  | 'final_upload'
  | 'not_found'
  | 'method_not_allowed'
  | 'offset_mismatch'
  | 'gone'
  | 'unsupported_version'
  | 'too_large'
  | 'content_type'
  | 'range'
  | 'locked'
  | 'checksum_mismatch'
  | 'body_incomplete'
  | 'shutting_down'

/** Status of each code, and what it says when nothing more precise is known. */
const table: Readonly<Record<TusErrorCode, readonly [number, string]>> = {
  invalid_header: [400, 'A request header is malformed'],
  invalid_request: [400, 'The request is malformed'],
  checksum_algorithm: [400, 'The checksum algorithm is not supported'],
  extension_off: [400, 'This server does not offer that extension'],
  rejected: [403, 'The request was rejected'],
  final_upload: [403, 'A final upload takes no data of its own'],
  not_found: [404, 'The upload was not found'],
  method_not_allowed: [405, 'The method is not allowed here'],
  offset_mismatch: [409, 'Upload-Offset is not the current offset'],
  gone: [410, 'The upload has expired'],
  unsupported_version: [412, 'Tus-Resumable must be 1.0.0'],
  too_large: [413, 'The upload is larger than allowed'],
  content_type: [415, 'Content-Type must be application/offset+octet-stream'],
  range: [416, 'The range cannot be satisfied'],
  locked: [423, 'The upload is in use by another request'],
  checksum_mismatch: [460, 'The checksum does not match the bytes received'],
  body_incomplete: [503, 'The request body did not arrive whole'],
  shutting_down: [503, 'The server is shutting down; ask for the offset and go on'],
}

/**
 * A failure that the client is told about. Throw one in a callback to refuse a request with a status and message of
 * your own: `throw new TusError('rejected', 'Only images here', { status: 415 })`.
 */
export class TusError extends Error {
  /** Tells the class. */
  override readonly name = 'TusError'
  /** What it is about. */
  readonly code: TusErrorCode
  /** HTTP status of the answer. */
  readonly status: number
  /** Headers for the answer besides the usual ones. */
  readonly headers: Readonly<Record<string, string>>
  /** The answer's body where it is not the message; say what it is in a `Content-Type` header. */
  readonly body: string | undefined

  /**
   * An answer to come.
   * @param code Tells status and sentence, where the others say nothing else.
   * @param message Goes to the client as it is: no secrets, no paths. Default: the code's own sentence.
   * @param options Another status from 400 to 599, further headers, a body in place of the message, the cause.
   */
  constructor(
    code: TusErrorCode,
    message?: string,
    options: {
      status?: number
      headers?: Readonly<Record<string, string>>
      body?: string
      cause?: unknown
    } = {},
  ) {
    const status = options.status ?? table[code][0]
    if (!(status >= 400 && status <= 599)) throw new TypeError(`TusError: status must be from 400 to 599: ${status}`)
    super(message ?? table[code][1], options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = status
    this.headers = options.headers ?? {}
    this.body = options.body
  }
}

/**
 * What is wrong with the storage.
 *
 * - `exists`: the id is taken. Becomes a 409: the callback that makes ids made one twice.
 * - `full`: the storage is full (ENOSPC, quota).
 * - `unavailable`: the storage cannot be reached or answers nonsense; trying again may help.
 * - `corrupt`: what is stored does not fit together: a record that cannot be read, bytes that are gone.
 * - `gone`: what was stored of an upload is gone (a lifecycle rule of a bucket): the client has to start over.
 * - `lock_lost`: the lock was lost to another request; nothing more was written.
 */
export type StoreErrorCode = 'exists' | 'full' | 'unavailable' | 'corrupt' | 'gone' | 'lock_lost'

const storeTable: Readonly<Record<StoreErrorCode, readonly [number, string]>> = {
  exists: [409, 'An upload with this id exists already'],
  full: [507, 'The storage is full'],
  unavailable: [503, 'The storage is not available'],
  corrupt: [500, 'The upload cannot be read from the storage'],
  gone: [410, 'The upload is gone from the storage'],
  lock_lost: [423, 'The upload is in use by another request'],
}

/** A failure of the storage. Its message and cause stay in the log; the client is told the code's sentence. */
export class StoreError extends Error {
  /** Tells the class. */
  override readonly name = 'StoreError'
  /** What is wrong. */
  readonly code: StoreErrorCode
  /** HTTP status of the answer. */
  readonly status: number
  /** What the client is told. */
  readonly publicMessage: string
  /** Whether the same call may succeed if it is made again at once. */
  readonly transient: boolean

  /**
   * A failure to be logged and answered.
   * @param code Tells the status and what the client is told.
   * @param message For the log.
   * @param options The cause, and whether the same call may succeed if it is made again at once.
   */
  constructor(code: StoreErrorCode, message: string, options: { cause?: unknown; transient?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = storeTable[code][0]
    this.publicMessage = storeTable[code][1]
    this.transient = options.transient ?? false
  }
}
