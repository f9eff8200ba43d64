import {
  type HttpRequest,
  type HttpResponse,
  type HttpStack,
  type PreviousUpload,
  Upload,
  type UploadOptions,
  type UrlStorage,
} from 'tus-js-client'
import type { UploadArguments } from './arguments.ts'
import type { Display } from './display.ts'
import { explainError, UploadError } from './explain.ts'
import { fingerprintOf } from './places.ts'
import type { Source } from './source.ts'
import { streamReader } from './standard-input.ts'
import { formatShare } from './units.ts'

const MiB = 1024 * 1024

/** Between attempts: a server that restarts and a network that changes come back within a minute. */
const retryDelays = [0, 1000, 2000, 4000, 8000, 15_000, 30_000]

/** Answers below 500 that another attempt may change. */
const transient = [408, 409, 423, 425, 429, 460]

interface SendOptions {
  readonly args: UploadArguments
  readonly stack: HttpStack
  readonly places: UrlStorage
  readonly display: Display
  /** Aborted = stop where it is. */
  readonly signal: AbortSignal
}

/** How an upload went that did not fail. */
export interface Sent {
  readonly url: string
  /** Bytes. */
  readonly size: number
  /** Of them, those that were there before. */
  readonly before: number
}

/**
 * Uploads one file, going on where an earlier run was interrupted.
 * @returns null when it was aborted.
 * @throws an error for `explainError`.
 */
export async function send(source: Source, options: SendOptions): Promise<Sent | null> {
  const { args, places, display, signal } = options
  const previous = await findPrevious(source, args, places)
  if (signal.aborted) return null
  const partCount = previous?.parallelUploadUrls?.length ?? (previous === null ? partsFor(source, args) : 1)
  const outcome = Promise.withResolvers<Sent | null>()
  const resumed = watchResumption(previous, source.size, display)
  let sent = 0
  const stream = source.open()
  // It may be gone by now; without somebody who listens that would end the process.
  stream.on('error', (error) => outcome.reject(error))
  const upload = new Upload(stream as NodeJS.ReadStream, {
    ...transferOptions(source, options),
    parallelUploads: partCount,
    onProgress(bytes) {
      sent = bytes
      display.progress(bytes, source.size)
    },
    onAfterResponse(request, response) {
      checkOffset(request, response, source.size)
      resumed.onAnswer(request, response)
    },
    onShouldRetry(error, attempt, { parallelUploads = 1 }) {
      const willRetry = isTransient(error, parallelUploads)
      // The first one is at once, and often enough.
      if (willRetry && attempt === 1) display.note(`${explainError(error)}; trying again`)
      return willRetry
    },
    onSuccess: () => outcome.resolve({ url: upload.url ?? '', size: source.size ?? sent, before: resumed.before() }),
    onError: (error) => outcome.reject(error),
  })
  if (previous !== null) upload.resumeFromPreviousUpload(previous)
  const stop = () => outcome.resolve(null)
  signal.addEventListener('abort', stop)
  upload.start()
  try {
    const sent = await outcome.promise
    // Before the next file, which may be this one again.
    if (sent !== null) await forget(source, args, places)
    return sent
  } finally {
    signal.removeEventListener('abort', stop)
    // Parts of it may still be on their way.
    await upload.abort()
    stream.destroy()
  }
}

/** The upload of an earlier run, if it can be gone on with. */
async function findPrevious(source: Source, args: UploadArguments, places: UrlStorage): Promise<PreviousUpload | null> {
  const key = fingerprint(source, args)
  const [previous] = key === null ? [] : await places.findUploadsByFingerprint(key)
  return previous ?? null
}

async function forget(source: Source, args: UploadArguments, places: UrlStorage): Promise<void> {
  const key = fingerprint(source, args)
  if (key !== null) await places.removeUpload(key)
}

/** A query may sign the URL, anew each time. */
function fingerprint({ identity }: Source, { to, metadata }: UploadArguments): string | null {
  return identity === null ? null : fingerprintOf([identity, to.origin, to.pathname, metadata])
}

/** Parts of less than 1 MiB would cost more than they bring. */
function partsFor({ size }: Source, { parallel }: UploadArguments): number {
  return size === null ? 1 : Math.max(1, Math.min(parallel, Math.floor(size / MiB)))
}

function transferOptions(source: Source, { args, stack, places }: SendOptions): UploadOptions {
  const { to, headers, metadata, checksum, chunkSize } = args
  const isStream = source.size === null
  const { filename } = source
  return {
    endpoint: to.href,
    headers: { ...headers },
    metadata: { ...(filename !== null && { filename }), ...metadata },
    httpStack: stack,
    urlStorage: places,
    fingerprint: () => Promise.resolve(fingerprint(source, args) as string),
    retryDelays,
    // An interruption costs what the checksum covers, and a stream is kept in memory.
    chunkSize: chunkSize ?? (checksum !== null || isStream ? 8 * MiB : Infinity),
    ...(isStream && { uploadLengthDeferred: true, fileReader: streamReader() }),
  }
}

/** Says how much is there already, once the server has told. */
function watchResumption(previous: PreviousUpload | null, size: number | null, display: Display) {
  const urls = previous?.parallelUploadUrls ?? [previous?.uploadUrl ?? '']
  const offsets = new Map<string, number>()
  let isTold = previous === null
  let before = 0
  const onAnswer = (request: HttpRequest, response: HttpResponse) => {
    if (request.getMethod() !== 'HEAD') return
    const status = response.getStatus()
    // tus-js-client would start over, and lose what is there, whatever it is that fails.
    if (status >= 300 && status !== 404 && status !== 410 && status !== 423) {
      throw new AnswerError(`the server does not tell how much it has (${status})`, isPassing(status))
    }
    if (isTold || status === 423) return
    offsets.set(request.getURL(), status < 300 ? Number(response.getHeader('Upload-Offset')) : 0)
    if (offsets.size < urls.length) return
    isTold = true
    before = [...offsets.values()].reduce((sum, offset) => sum + offset, 0)
    if (before > 0) display.note(`going on at ${formatShare(before, size ?? 0)}`)
    else if (status >= 300) display.note('the server no longer has what was there; starting over')
  }
  return { onAnswer, before: () => before }
}

/** tus-js-client takes any offset as it is told, and sends the same again at once, without end. */
function checkOffset(request: HttpRequest, response: HttpResponse, size: number | null): void {
  if (request.getMethod() !== 'PATCH' || response.getStatus() >= 300) return
  const [from, offset] = [request, response].map((each) => Number(each.getHeader('Upload-Offset') ?? 'none'))
  if (from === undefined || offset === undefined || Number.isNaN(offset)) return
  if (offset < from || (size !== null && offset > size)) {
    throw new AnswerError(`the server says that it has ${offset} bytes, which cannot be`, false)
  }
  // The end of a stream comes without bytes.
  const isEnd = Number(request.getHeader('Upload-Length') ?? 'none') === offset
  if (offset === from && !isEnd) throw new AnswerError('the server takes nothing of what it is sent', true)
}

/** An answer that makes an attempt fail, whatever its status. */
class AnswerError extends UploadError {
  readonly isTransient: boolean

  constructor(message: string, isTransient: boolean) {
    super(message)
    this.isTransient = isTransient
  }
}

type Failure = Parameters<NonNullable<NonNullable<UploadOptions['onShouldRetry']>>>[0]

function isTransient(error: Failure, parallelUploads: number): boolean {
  const cause = error.causingError
  if (cause instanceof UploadError && !(cause instanceof AnswerError)) return false
  // A part has given up: it was tried often enough, while the others went on.
  const isPart = error.originalRequest.getHeader('Upload-Concat')?.startsWith('final') !== true
  if (parallelUploads > 1 && isPart) return false
  if (cause instanceof AnswerError) return cause.isTransient
  return isPassing(error.originalResponse?.getStatus() ?? 0)
}

/** Whether another attempt may go well; 0 = there was no answer. */
function isPassing(status: number): boolean {
  return status === 0 || status >= 500 || transient.includes(status)
}
