import { TusError } from '../errors.ts'
import type { ByteRange, Upload } from '../store.ts'
import { type Context, requireUpload } from './context.ts'

/**
 * The record of an upload whose bytes may be handed out. No lock is taken: completed bytes never change.
 * @throws TusError 404 while it is incomplete: nobody may see what has not been finished.
 */
export async function requireCompleted(context: Context, id: string): Promise<Upload> {
  const upload = await requireUpload(context, id)
  if (!upload.completed) throw new TusError('not_found', 'The upload is not complete yet')
  return upload
}

/** A range of a completed upload as a stream that reads no further ahead than its consumer. */
export function stream(context: Context, upload: Upload, range: ByteRange): ReadableStream<Uint8Array> {
  const iterator = context.store.read?.(upload, range)[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const result = await iterator?.next()
        if (result === undefined || result.done === true) controller.close()
        else controller.enqueue(result.value)
      },
      async cancel() {
        await iterator?.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}
