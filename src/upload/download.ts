import { TusError } from '../errors.ts'
import type { ByteRange, Upload } from '../store.ts'
import type { Caller } from './caller.ts'
import { access, type Context, isExpired } from './context.ts'

/**
 * The record of an upload whose bytes may be handed out. No lock is taken: completed bytes never change.
 * @throws TusError 404 while it is incomplete: nobody may see what has not been finished.
 */
export async function requireCompleted(context: Context, id: string, caller: Caller): Promise<Upload> {
  const upload = await context.store.get(id)
  if (upload === null) throw new TusError('not_found')
  await access(context, upload, 'download', caller)
  if (isExpired(upload)) throw new TusError('gone')
  if (!upload.completed) throw new TusError('not_found', 'The upload is not complete yet')
  return upload
}

/** A range of a completed upload as a stream that reads no further ahead than its consumer. */
export function stream(context: Context, upload: Upload, range: ByteRange, caller: Caller): ReadableStream<Uint8Array> {
  const iterator = context.store.read?.(upload, range)[Symbol.asyncIterator]()
  let cancelled = false
  const bytes = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const result = await iterator?.next()
          // Its client has gone meanwhile, with all it wants: nothing has failed.
          if (cancelled) return
          if (result === undefined || result.done === true) controller.close()
          else controller.enqueue(result.value)
        } catch (error) {
          if (cancelled) return
          // The answer has begun; all that is left is to break it off.
          context.report(error, caller)
          throw error
        }
      },
      async cancel() {
        cancelled = true
        await iterator?.return?.()
      },
    },
    { highWaterMark: 0 },
  )
  return ofLength(bytes, range.end - range.start)
}

/**
 * On Cloudflare's runtime only such a stream keeps its `Content-Length`; any other comes in chunks, and when it breaks,
 * the last chunk is sent as if it had ended.
 */
function ofLength(bytes: ReadableStream<Uint8Array>, length: number): ReadableStream<Uint8Array> {
  if (FixedLengthStream === undefined) return bytes
  const { readable, writable } = new FixedLengthStream(length)
  // What breaks it has been reported, and breaks the other end.
  bytes.pipeTo(writable).catch(() => {})
  return readable
}

const { FixedLengthStream } = globalThis as {
  FixedLengthStream?: new (length: number) => TransformStream<Uint8Array, Uint8Array>
}
