import type { Upload, UploadChange } from '../store.ts'
import { addReply, type Caller, eventOf } from './caller.ts'
import type { Context } from './context.ts'
import { tell } from './events.ts'
import type { Hold } from './lock.ts'
import { settleProgress } from './progress.ts'
import { removeUpload } from './terminate.ts'

export type FinishStage = 'finishing' | 'finished'

/**
 * Completes an upload whose bytes are all there: makes them durable, runs the finish hook, then records it as
 * completed. When the hook throws, the upload stays incomplete at its full offset and the next HEAD or empty PATCH
 * comes here again. The caller holds the lock. A completed upload is returned as it is.
 * @param onStage Told when the hook is about to run, and when it has succeeded; never called where there is none.
 */
export async function finish(
  context: Context,
  upload: Upload,
  caller: Caller | null,
  hold: Hold,
  change: UploadChange = {},
  onStage?: (stage: FinishStage) => void,
): Promise<Upload> {
  if (upload.completed) return upload
  const { store, hooks, progress } = context
  const { stop, guard } = hold
  if (hooks.onProgress !== undefined) await settleProgress(context, upload.id, stop)
  progress.delete(upload.id)
  await guard()
  if (stop.error !== null) {
    if (stop.terminate) await removeUpload(context, upload, caller, hold)
    // Else the bytes stay, as those of any other body that the application stops.
    else await store.sync?.(Object.keys(change).length === 0 ? upload : await store.update(upload, change))
    throw stop.error
  }
  const isPartial = upload.concat?.type === 'partial'
  const [hook, afterwards] = isPartial
    ? [hooks.onPartialFinish, hooks.onPartialFinished]
    : [hooks.onFinish, hooks.onFinished]
  let completed
  if (hook === undefined) completed = await store.update(upload, { ...change, completed: true })
  else {
    const whole = Object.keys(change).length === 0 ? upload : await store.update(upload, change)
    await store.sync?.(whole)
    await guard()
    onStage?.('finishing')
    addReply(caller, await hook(eventOf('finish', whole, caller)))
    onStage?.('finished')
    await guard()
    completed = await store.update(whole, { completed: true })
  }
  await tell(context, afterwards, 'finish', completed, caller)
  return completed
}
