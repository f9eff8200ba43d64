import { StoreError } from '../errors.ts'
import { longestTimerMs } from '../platform.ts'
import type { Bucket, CallOptions, PartBody } from './bucket.ts'
import type { StorageCall, StorageObserver } from './observer.ts'

/** How often a call to the storage is made, and how long it may take. */
export interface RetryOptions {
  /** Most times that a call is made, 1 at least. @default 6 */
  readonly attempts?: number
  /** Milliseconds before the second attempt; doubled for each further one, with jitter. From 1 to 2^31-1. @default 100 */
  readonly delayMs?: number
  /**
   * Milliseconds that an attempt may take, besides the time its bytes need at 256 KiB/s. From 1 to 2^31-1.
   * @default 15_000
   */
  readonly timeoutMs?: number
}

/** The calls that are safe to repeat, with a time limit each, as the engine makes them. */
export type Calls = {
  readonly [
    K in 'get' | 'head' | 'put' | 'delete' | 'createMultipart' | 'putPart' | 'complete' | 'abort'
  ]: WithoutOptions<Bucket[K]>
} & {
  readonly copyPart: WithoutOptions<NonNullable<Bucket['copyPart']>> | null
  readonly parts: WithoutOptions<NonNullable<Bucket['parts']>> | null
  readonly streamPart: WithoutOptions<NonNullable<Bucket['streamPart']>> | null
  /** For listings: does it all again when it fails in passing. */
  readonly repeat: <T>(name: StorageCall, timeoutMs: number, call: (options: CallOptions) => Promise<T>) => Promise<T>
}

type WithoutOptions<F> = F extends (...args: [...infer A, CallOptions]) => infer R ? (...args: A) => R : never

const slowestRate = 256 * 1024
/** Putting thousands of parts together, or copying gigabytes, takes the storage minutes. */
const longTimeoutMs = 300_000

/**
 * Makes each call again when it fails in passing, with growing, random pauses in between: throttling, 5xx answers,
 * connections that break or stand still. What the storage has done although its answer was lost is done once more,
 * which changes nothing, or (conditions, completion) is told apart by whoever called.
 */
export function retrying(bucket: Bucket, options: RetryOptions = {}, observer: StorageObserver = {}): Calls {
  const { timeoutMs = 15_000 } = options
  const run = <T>(
    name: StorageCall,
    bytes: number,
    call: (options: CallOptions) => Promise<T>,
    limitMs = timeoutMs,
  ): Promise<T> => repeat(name, limitMs + (bytes / slowestRate) * 1000, call)
  const repeat: Calls['repeat'] = (name, limitMs, call) => retry(options, limitMs, call, () => observer.onRetry?.(name))

  return {
    get: (key, range) => run('get', range === null ? 0 : range.end - range.start, (o) => bucket.get(key, range, o)),
    head: (key) => run('head', 0, (o) => bucket.head(key, o)),
    put: (key, bytes, put) => run('put', bytes.byteLength, (o) => bucket.put(key, bytes, put, o)),
    delete: (key) => run('delete', 0, (o) => bucket.delete(key, o)),
    createMultipart: (key, headers) => run('createMultipart', 0, (o) => bucket.createMultipart(key, headers, o)),
    putPart: (multipart, n, bytes) => run('putPart', bytes.byteLength, (o) => bucket.putPart(multipart, n, bytes, o)),
    streamPart:
      bucket.streamPart === undefined
        ? null
        : (multipart, n, body) =>
            run('putPart', body.size, (o) =>
              unlessGivenUp(body, o, async (both) => (await bucket.streamPart?.(multipart, n, body, both)) ?? null),
            ),
    complete: (multipart, parts, headers) =>
      run('complete', 0, (o) => bucket.complete(multipart, parts, headers, o), Math.max(timeoutMs, longTimeoutMs)),
    parts:
      bucket.parts === undefined
        ? null
        : (multipart) =>
            run(
              'parts',
              0,
              async (o) => (await bucket.parts?.(multipart, o)) ?? null,
              Math.max(timeoutMs, longTimeoutMs),
            ),
    abort: (multipart) => run('abort', 0, (o) => bucket.abort(multipart, o)),
    repeat,
    copyPart:
      bucket.copyPart === undefined
        ? null
        : (multipart, n, source) =>
            run(
              'copyPart',
              0,
              async (o) => (await bucket.copyPart?.(multipart, n, source, o)) ?? null,
              Math.max(timeoutMs, longTimeoutMs),
            ),
  }
}

/** @throws what the part was given up with, if it was: whatever the call failed with then, it is not made again. */
async function unlessGivenUp<T>(
  { signal: givenUp }: PartBody,
  { signal }: CallOptions,
  call: (options: CallOptions) => Promise<T>,
): Promise<T> {
  try {
    givenUp.throwIfAborted()
    return await call({ signal: AbortSignal.any([signal, givenUp]) })
  } catch (error) {
    givenUp.throwIfAborted()
    throw error
  }
}

async function retry<T>(
  { attempts = 6, delayMs = 100 }: RetryOptions,
  timeoutMs: number,
  call: (options: CallOptions) => Promise<T>,
  onRetry: () => void,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await limited(timeoutMs, call)
    } catch (error) {
      if (!(error instanceof StoreError && error.transient) || attempt >= attempts) throw error
    }
    onRetry()
    const most = Math.min(delayMs * 2 ** (attempt - 1), longestTimerMs)
    await new Promise((resolve) => setTimeout(resolve, most / 2 + (Math.random() * most) / 2))
  }
}

/** Calls with a signal that ends it when the time is over. */
export async function limited<T>(timeoutMs: number, call: (options: CallOptions) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(
    () => controller.abort(new StoreError('unavailable', `No answer within ${timeoutMs} ms`, { transient: true })),
    Math.min(timeoutMs, longestTimerMs),
  )
  try {
    return await call({ signal: controller.signal })
  } catch (error) {
    if (controller.signal.aborted && !(error instanceof StoreError)) throw controller.signal.reason
    throw error
  } finally {
    clearTimeout(timer)
  }
}
