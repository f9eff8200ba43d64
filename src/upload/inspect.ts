import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import { join, joinFinalsOf } from './concatenate.ts'
import { type Context, requireUpload } from './context.ts'
import { finish } from './finish.ts'
import { withLock } from './lock.ts'

/**
 * An upload's present state, for a client that wants to go on. Whoever still works on it is asked to flush and give
 * way first, so that the offset told is one nobody moves. What an earlier request left undone is done now: a finish
 * callback that failed, a final upload whose partials have been completed.
 */
export async function inspect(context: Context, id: string, request: Request): Promise<Upload> {
  const seen = await requireUpload(context, id)
  if (seen.completed) return seen
  const upload = await withLock(context, id, async () => {
    const current = await requireUpload(context, id)
    if (current.concat?.type === 'final')
      return (await retry(context, request, () => join(context, current, request))) ?? current
    if (current.offset !== current.length) return current
    return retry(context, request, () => finish(context, current, request))
  })
  if (!seen.completed) await joinFinalsOf(context, upload)
  return upload
}

/**
 * A finish that fails again is answered 423: tus-js-client waits and asks again then, where after any other failure of
 * a HEAD it would upload everything anew.
 */
async function retry<T>(context: Context, request: Request, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TusError && error.status < 500) throw error
    context.report(error, request)
    throw new TusError('locked', 'All bytes are stored, but finishing the upload failed; ask again', { cause: error })
  }
}
