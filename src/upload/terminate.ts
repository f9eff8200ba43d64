import type { Upload } from '../store.ts'
import { type Caller, eventOf } from './caller.ts'
import { checkAccess, type Context, requireUpload } from './context.ts'
import { tell } from './events.ts'
import { type Hold, withLock } from './lock.ts'

/** Removes an upload, complete or not, at a client's request. */
export async function terminate(context: Context, id: string, caller: Caller): Promise<void> {
  if (context.hooks.onAccess !== undefined) await checkAccess(context, id, 'terminate', caller)
  await withLock(context, id, async (hold) => {
    const upload = await requireUpload(context, id)
    await context.progress.get(id)?.running
    await context.hooks.onTerminate?.(eventOf('terminate', upload, caller))
    await removeUpload(context, upload, caller, hold)
  })
}

/** Removes an upload without asking. Lock held. */
export async function removeUpload(
  context: Context,
  upload: Upload,
  caller: Caller | null,
  { guard }: Hold,
): Promise<void> {
  await context.progress.get(upload.id)?.running
  await guard()
  await context.store.terminate(upload)
  context.progress.delete(upload.id)
  await tell(context, context.hooks.onTerminated, 'terminate', upload, caller)
}
