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
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const result = await iterator?.next()
          if (result === undefined || result.done === true) controller.close()
          else controller.enqueue(result.value)
        } catch (error) {
          // The answer has begun; all that is left is to break it off.
          context.report(error, caller)
          throw error
        }
      },
      async cancel() {
        await iterator?.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}
