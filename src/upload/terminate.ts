import { type Context, requireUpload } from './context.ts'
import { withLock } from './lock.ts'

/** Removes an upload, complete or not, at a client's request. */
export async function terminate(context: Context, id: string, request: Request): Promise<void> {
  await withLock(context, id, async ({ guard }) => {
    const upload = await requireUpload(context, id)
    await context.callbacks.onTerminate?.({ upload, request })
    await guard()
    await context.store.terminate(upload)
    context.progress.delete(id)
  })
}
