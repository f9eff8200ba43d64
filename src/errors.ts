/**
 * The two kinds of failure, and the one table that gives each a status.
 *
 * The statuses follow what clients do next. tus-js-client retries 409, 423 and everything that is not 4xx; any other
 * 4xx is final. On a HEAD it waits for 423 only and starts a new upload on any other failure, so 423 is what a lock
 * timeout answers.
 */

/** Every code an answer can carry, its status and what it says when nothing more precise is known. */
const table = {
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
} as const satisfies Record<string, readonly [number, string]>

export type TusErrorCode = keyof typeof table

/**
 * A failure that the client is told about. Throw one in a callback to refuse a request with a status and message of
 * your own: `throw new TusError('rejected', 'Only images here', { status: 415 })`.
 */
export class TusError extends Error {
  override readonly name = 'TusError'
  readonly code: TusErrorCode
  /** HTTP status of the answer. */
  readonly status: number
  /** Headers for the answer besides the usual ones. */
  readonly headers: Readonly<Record<string, string>>
  /** The answer's body where it is not the message; say what it is in a `Content-Type` header. */
  readonly body: string | undefined

  /** @param message Goes to the client as it is: no secrets, no paths. Default: the code's own sentence. */
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

const storeTable = {
  /** The id is taken. Becomes a 409: the callback that makes ids made one twice. */
  exists: [409, 'An upload with this id exists already'],
  /** The storage is full (ENOSPC, quota). */
  full: [507, 'The storage is full'],
  /** The storage cannot be reached or answers nonsense; trying again may help. */
  unavailable: [503, 'The storage is not available'],
  /** What is stored does not fit together: a record that cannot be read, bytes that are gone. */
  corrupt: [500, 'The upload cannot be read from the storage'],
  /** What was stored of an upload is gone (a lifecycle rule of a bucket): the client has to start over. */
  gone: [410, 'The upload is gone from the storage'],
  /** The lock was lost to another request; nothing more was written. */
  lock_lost: [423, 'The upload is in use by another request'],
} as const satisfies Record<string, readonly [number, string]>

export type StoreErrorCode = keyof typeof storeTable

/** A failure of the storage. Its message and cause stay in the log; the client is told the code's sentence. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  /** HTTP status of the answer. */
  readonly status: number
  /** What the client is told. */
  readonly publicMessage: string
  /** Whether the same call may succeed if it is made again at once. */
  readonly transient: boolean

  constructor(code: StoreErrorCode, message: string, options: { cause?: unknown; transient?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = storeTable[code][0]
    this.publicMessage = storeTable[code][1]
    this.transient = options.transient ?? false
  }
}
