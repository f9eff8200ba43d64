/** tus-js-client with a record of what it was answered. */
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { defaultOptions, type DetailedError, Upload, type UploadOptions } from 'tus-js-client'
import type { Answer } from './support.ts'

declare module 'tus-js-client' {
  /** Exported on Node, but missing in the package's types. */
  export class FileUrlStorage implements UrlStorage {
    constructor(path: string)
    findAllUploads(): Promise<PreviousUpload[]>
    findUploadsByFingerprint(fingerprint: string): Promise<PreviousUpload[]>
    removeUpload(urlStorageKey: string): Promise<void>
    addUpload(fingerprint: string, upload: PreviousUpload): Promise<string>
  }
}

export interface TrackedUpload {
  readonly upload: Upload
  /** Every answer, in order. */
  readonly answers: readonly Answer[]
  /** Statuses (null = no answer) of the failures that the client asked its retry rule about. */
  readonly retried: readonly (number | null)[]
  /** Settles when the client is done; never, if it is aborted and not started again. */
  readonly finished: Promise<void>
  /** Waits for something that happens in the course of the upload; rejects when the upload fails first. */
  during<T>(event: Promise<T>): Promise<T>
  /** Resolves once the client has handed at least so many bytes to the network. */
  progress(bytes: number): Promise<void>
}

/** Retries at once, then patiently enough for a restart of the server. */
export const patientRetries: readonly number[] = [0, 50, 100, 200, 400, 800, 800, 800, 800, 800]

/** An upload of a file (by its path), a stream or bytes; not started yet. */
export function trackUpload(source: string | Readable | Buffer, options: UploadOptions): TrackedUpload {
  const answers: Answer[] = []
  const retried: (number | null)[] = []
  const finished = Promise.withResolvers<void>()
  const waiting: { bytes: number; resolve: () => void }[] = []
  const upload = new Upload(typeof source === 'string' ? createReadStream(source) : source, {
    retryDelays: [...patientRetries],
    storeFingerprintForResuming: false,
    ...options,
    onAfterResponse(request, response) {
      const offset: string | undefined = response.getHeader('Upload-Offset')
      answers.push({
        method: request.getMethod(),
        url: request.getURL(),
        status: response.getStatus(),
        offset: offset === undefined ? null : Number(offset),
      })
    },
    onShouldRetry(error, attempt, all) {
      retried.push(statusOf(error))
      return defaultOptions.onShouldRetry?.(error, attempt, all) ?? false
    },
    onProgress(sent) {
      for (const { resolve } of waiting.filter(({ bytes }) => sent >= bytes)) resolve()
    },
    onSuccess: () => finished.resolve(),
    onError: (error) => finished.reject(error),
  })
  return {
    upload,
    answers,
    retried,
    finished: finished.promise,
    during: (event) => Promise.race([event, finished.promise.then(() => event)]),
    progress: (bytes) => new Promise((resolve) => waiting.push({ bytes, resolve })),
  }
}

/** Starts it and waits for its end. */
export async function run(tracked: TrackedUpload): Promise<TrackedUpload> {
  tracked.upload.start()
  await tracked.finished
  return tracked
}

/** The status a client failed with, or null where there was no answer. */
export function statusOf(error: DetailedError): number | null {
  return error.originalResponse?.getStatus() ?? null
}
