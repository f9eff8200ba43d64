import type { AppendOptions } from '../store.ts'
import { type Engine, mayForget, restOf, tooLong } from './engine.ts'
import { gather } from './gather.ts'
import { nothing, type ObjectUpload, type Rest } from './record.ts'
import { confirm } from './recent.ts'
import { hold } from './tails.ts'

/** A body on its way into parts, as `appendBody` drives it. */
export interface Gathering {
  /** The body's next chunk; throws what the body throws, or what went wrong meanwhile. */
  readonly next: (iterator: AsyncIterator<Uint8Array>) => Promise<IteratorResult<Uint8Array>>
  readonly add: (chunk: Uint8Array) => Promise<void>
  readonly end: () => Promise<ObjectUpload>
  /** Keeps what is stored without a gap, or (the body failed, or its bytes are worth nothing alone) none of it. */
  readonly fail: () => Promise<void>
  readonly close: () => void
}

/** Appends a body to an upload: what came of it is in the record, or with whoever completes the upload. */
export async function appendBody(
  engine: Engine,
  upload: ObjectUpload,
  body: AsyncIterable<Uint8Array>,
  options: AppendOptions,
): Promise<ObjectUpload> {
  // Its record knows nothing of parts any more.
  if (upload.stored) return takeNothing(upload, body)
  const { gathering, release } = await begin(engine, upload, options)
  const iterator = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      const result = await gathering.next(iterator)
      // From here on it goes to a buffer, or waits in the record for one.
      if (mayForget(options)) release()
      if (result.done === true) return await confirm(engine, await gathering.end())
      await gathering.add(result.value)
      options.freeChunk?.(result.value)
    }
  } catch (error) {
    await gathering.fail()
    // Lets go of the body where it was not the one that failed; it may be waiting for a chunk.
    void iterator.return?.().then(undefined, () => {})
    throw error
  } finally {
    gathering.close()
    release()
  }
}

/**
 * Apart: what waits for the body would hold the tail to the end of it, though nobody looks at it any more. Tails are
 * memory beside the buffers, and clients may take long to send their first byte: only some are held that long, or to
 * the end where the body may throw.
 */
async function begin(
  engine: Engine,
  upload: ObjectUpload,
  options: AppendOptions,
): Promise<{ readonly gathering: Gathering; readonly release: () => void }> {
  const rest = await restOf(engine, upload)
  const tailBytes = rest.tail.byteLength
  const release = hold(engine.tails, tailBytes)
  engine.recent.trim()
  // The caller keeps its record to the end.
  if (mayForget(options) || release === null) (upload as { rest: Rest | null }).rest = null
  const before = { ...upload, tailBytes, rest: release === null ? { ...rest, tail: nothing.tail } : rest }
  return { gathering: gather(engine, before, options), release: release ?? (() => {}) }
}

/** A body for an upload that is whole: it may still throw at its end. */
async function takeNothing(upload: ObjectUpload, body: AsyncIterable<Uint8Array>): Promise<ObjectUpload> {
  for await (const { byteLength } of body) if (byteLength > 0) throw tooLong(upload)
  return upload
}
