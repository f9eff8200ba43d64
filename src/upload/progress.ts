import type { Upload } from '../store.ts'
import type { Context } from './context.ts'

/** Uploads whose last progress is remembered: abandoned ones must not pile up. */
const most = 10_000

/** Calls `onProgress` at most once per upload and interval, across requests; null where nobody listens. */
export function progressReporter(
  context: Context,
  upload: Upload,
  request: Request,
): ((offset: number) => void) | null {
  const { callbacks, progress, progressIntervalMs, report } = context
  const { onProgress } = callbacks
  if (onProgress === undefined) return null
  return (offset) => {
    const now = Date.now()
    if (now - (progress.get(upload.id) ?? 0) < progressIntervalMs) return
    progress.delete(upload.id)
    progress.set(upload.id, now)
    // The oldest entry comes first.
    const [oldest] = progress.size > most ? progress.keys() : []
    if (oldest !== undefined) progress.delete(oldest)
    try {
      const result = onProgress({ upload: { ...upload, offset }, request })
      if (result instanceof Promise) result.catch((error: unknown) => report(error, request))
    } catch (error) {
      report(error, request)
    }
  }
}
