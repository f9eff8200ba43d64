import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import { join, joinFinalsOf, removeLeftPartials } from './concatenate.ts'
import type { Caller } from './caller.ts'
import { access, type Context, isExpired, requireUpload } from './context.ts'
import { finish } from './finish.ts'
import { type Hold, withFreeLock, withLock } from './lock.ts'

/**
 * An upload's present state, for a client that wants to go on. Whoever still works on it is asked to flush and give
 * way first, so that the offset told is one nobody moves. What an earlier request left undone is done now: a finish
 * callback that failed, a final upload whose partials have been completed, partials that were to be removed.
 */
export async function inspect(context: Context, id: string, caller: Caller): Promise<Upload> {
  const settled = await lookUnlocked(context, id, caller)
  const look = (hold: Hold) => lookLocked(context, id, caller, hold)
  // Nearly always nobody else is there, and nothing has to be set up for a wait.
  const { upload, changed } = settled ?? (await withFreeLock(context, id, look)) ?? (await withLock(context, id, look))
  if (changed) await joinFinalsOf(context, upload, caller)
  else await removeLeftPartials(context, upload, caller)
  return upload
}

/**
 * The state of an upload that nobody works on and nothing is to be done for, or null where that is not certain.
 *
 * A completed upload does not change any more. What was read of another one is its state if nobody had the lock from
 * before the read and nobody has it after it. Somebody may have taken it and given it back in the moment between the two
 * (another process: in this one a request takes more than one turn); then bytes may have been seen that were taken back
 * since, those of a body that turned out too long. That harms nothing: the offset is compared again, under the lock,
 * before a byte is stored, and the client is told the right one.
 */
async function lookUnlocked(
  context: Context,
  id: string,
  caller: Caller,
): Promise<{ upload: Upload; changed: false } | null> {
  const { locker, store } = context
  const wasFree = (await locker.isFree?.(id)) === true
  const upload = await store.get(id)
  const asks = context.hooks.onAccess !== undefined
  // As `checkAccess`: nobody may wait for an upload that is not there yet without having been asked about.
  if (upload === null && asks) throw new TusError('not_found')
  if (upload === null) return null
  if (asks) await access(context, upload, 'inspect', caller)
  if (upload.completed) return { upload, changed: false }
  const isSettled = wasFree && upload.concat?.type !== 'final' && upload.offset !== upload.length && !isExpired(upload)
  return isSettled && (await locker.isFree?.(id)) === true ? { upload, changed: false } : null
}

async function lookLocked(
  context: Context,
  id: string,
  caller: Caller,
  hold: Hold,
): Promise<{ upload: Upload; changed: boolean }> {
  const upload = await requireUpload(context, id)
  if (upload.completed) return { upload, changed: false }
  if (upload.concat?.type === 'final') {
    const joined = await retry(context, caller, () => join(context, upload, caller, hold))
    return { upload: joined ?? upload, changed: false }
  }
  if (upload.offset !== upload.length) return { upload, changed: false }
  return { upload: await retry(context, caller, () => finish(context, upload, caller, hold)), changed: true }
}

/**
 * A finish that fails again is answered 423: tus-js-client waits and asks again then, where after any other failure of
 * a HEAD it would upload everything anew.
 */
async function retry<T>(context: Context, caller: Caller, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TusError && error.status < 500) throw error
    context.report(error, caller)
    throw new TusError('locked', 'All bytes are stored, but finishing the upload failed; ask again', { cause: error })
  }
}
