import type { Upload, UploadChange } from '../store.ts'
import type { Context } from './context.ts'
import type { Hold } from './lock.ts'

export type FinishStage = 'finishing' | 'finished'

/**
 * Completes an upload whose bytes are all there: makes them durable, runs the finish callback, then records it as
 * completed. When the callback throws, the upload stays incomplete at its full offset and the next HEAD or empty PATCH
 * comes here again. The caller holds the lock. A completed upload is returned as it is.
 * @param onStage Told when the callback is about to run, and when it has succeeded; never called where there is none.
 */
export async function finish(
  context: Context,
  upload: Upload,
  request: Request | null,
  { guard }: Hold,
  change: UploadChange = {},
  onStage?: (stage: FinishStage) => void,
): Promise<Upload> {
  if (upload.completed) return upload
  const { store, callbacks, progress } = context
  progress.delete(upload.id)
  await guard()
  // Partial uploads are pieces; only what is made of them is finished.
  if (callbacks.onFinish === undefined || upload.concat?.type === 'partial') {
    return store.update(upload, { ...change, completed: true })
  }
  const whole = Object.keys(change).length === 0 ? upload : await store.update(upload, change)
  await store.sync?.(whole)
  await guard()
  onStage?.('finishing')
  await callbacks.onFinish({ upload: whole, request })
  onStage?.('finished')
  await guard()
  return store.update(whole, { completed: true })
}
