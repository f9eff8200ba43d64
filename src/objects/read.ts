import { StoreError } from '../errors.ts'
import type { ByteRange } from './bucket.ts'
import type { Engine } from './engine.ts'

/** Milliseconds without a byte before a read is taken for dead and begun anew. */
const idleMs = 15_000
const attempts = 5

/** An object's bytes in this range; a stream that breaks goes on where it broke, a few times without progress. */
export async function* readObject(
  { bucket, observer }: Pick<Engine, 'bucket' | 'observer'>,
  key: string,
  range: ByteRange,
): AsyncGenerator<Uint8Array, void, undefined> {
  let { start } = range
  for (let failures = 0; start < range.end;) {
    const controller = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const wait = () => {
      clearTimeout(timer)
      timer = setTimeout(() => controller.abort(stalled(key)), idleMs)
    }
    try {
      wait()
      for await (const chunk of bucket.read(key, { start, end: range.end }, { signal: controller.signal })) {
        clearTimeout(timer)
        start += chunk.byteLength
        failures = 0
        yield chunk
        wait()
      }
      if (start < range.end) throw cutShort(key, range.end - start)
    } catch (error) {
      if (++failures >= attempts || !isTransient(error, controller.signal)) throw error
      observer.onRetry?.('read')
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** failures * Math.random()))
    } finally {
      clearTimeout(timer)
    }
  }
}

function isTransient(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted || (error instanceof StoreError && error.transient)
}

function stalled(key: string): StoreError {
  return new StoreError('unavailable', `No byte of ${key} within ${idleMs} ms`, { transient: true })
}

function cutShort(key: string, missing: number): StoreError {
  return new StoreError('unavailable', `${key} ended ${missing} bytes too early`, { transient: true })
}
