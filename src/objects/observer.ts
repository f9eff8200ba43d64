import type { Bucket } from './bucket.ts'

/**
 * The calls that are told about: `get`, `read`, `head`, `put`, `delete`, `list`, `createMultipart`, `putPart`,
 * `copyPart`, `complete`, `parts`, `abort`, `multiparts`, `check`.
 */
export type StorageCall = Exclude<keyof Bucket, 'name' | 'limits' | 'streamPart'>

/** Watches what a store asks of its storage: for metrics and traces. None of these may throw. */
export interface StorageObserver {
  /**
   * A call begins, each attempt of it on its own. What is returned is called when it ends, with what it failed with if
   * it did; that a part is given up while it is on its way, since its client has gone, is no failure.
   */
  onCall?(call: StorageCall): ((error?: unknown) => void) | undefined
  /** A call that failed in passing is going to be made again. */
  onRetry?(call: StorageCall): void
  /** Told once: the memory for parts, whose `used` may be read at any time. */
  onBuffers?(memory: BufferMemory): void
}

/** Bytes of memory for parts. */
export interface BufferMemory {
  /** Taken now. */
  readonly used: number
  /** Most there may be. */
  readonly budget: number
}

/** A bucket whose calls are told to `observer`. */
export function observed(bucket: Bucket, observer: StorageObserver): Bucket {
  /** @param isGivenUp Whether the caller itself has ended it. */
  const run = async <T>(name: StorageCall, call: () => Promise<T>, isGivenUp = () => false): Promise<T> => {
    const end = observer.onCall?.(name)
    try {
      const result = await call()
      end?.()
      return result
    } catch (error) {
      end?.(isGivenUp() ? undefined : error)
      throw error
    }
  }
  return {
    ...bucket,
    get: (...args) => run('get', () => bucket.get(...args)),
    read: (...args) => watched(observer, 'read', () => bucket.read(...args)),
    head: (...args) => run('head', () => bucket.head(...args)),
    put: (...args) => run('put', () => bucket.put(...args)),
    delete: (...args) => run('delete', () => bucket.delete(...args)),
    list: (...args) => watched(observer, 'list', () => bucket.list(...args)),
    createMultipart: (...args) => run('createMultipart', () => bucket.createMultipart(...args)),
    putPart: (...args) => run('putPart', () => bucket.putPart(...args)),
    ...(bucket.streamPart !== undefined && {
      streamPart: (...args) => {
        const [, , { signal }] = args
        return run(
          'putPart',
          async () => (await bucket.streamPart?.(...args)) ?? null,
          () => signal.aborted,
        )
      },
    }),
    ...(bucket.copyPart !== undefined && {
      copyPart: (...args) => run('copyPart', async () => (await bucket.copyPart?.(...args)) ?? null),
    }),
    complete: (...args) => run('complete', () => bucket.complete(...args)),
    ...(bucket.parts !== undefined && {
      parts: (...args) => run('parts', async () => (await bucket.parts?.(...args)) ?? null),
    }),
    abort: (...args) => run('abort', () => bucket.abort(...args)),
    multiparts: (...args) => watched(observer, 'multiparts', () => bucket.multiparts(...args)),
    check: (...args) => run('check', () => bucket.check(...args)),
  }
}

/** A call that lasts until all that it yields has been read, or nobody wants the rest. */
async function* watched<T>(
  observer: StorageObserver,
  name: StorageCall,
  call: () => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const end = observer.onCall?.(name)
  let failure: unknown
  try {
    yield* call()
  } catch (error) {
    failure = error
    throw error
  } finally {
    end?.(failure)
  }
}
