import type { Stop } from '../body/receive.ts'
import type { UploadHooks } from '../hooks.ts'
import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import { type Caller, eventOf } from './caller.ts'
import type { Context, Progress } from './context.ts'

/** Uploads whose last progress is remembered: abandoned ones must not pile up. */
const most = 10_000

/**
 * Calls `onProgress` at most once per upload and interval, across requests, and never while a call still runs; null
 * where nobody listens.
 */
export function progressReporter(
  context: Context,
  upload: Upload,
  caller: Caller,
  stop: Stop,
): ((offset: number) => void) | null {
  const { hooks, progress, progressIntervalMs } = context
  const { onProgress } = hooks
  if (onProgress === undefined) return null
  return (offset) => {
    const now = Date.now()
    const entry = progress.get(upload.id) ?? { at: 0, running: null, late: null }
    if (entry.running !== null || now - entry.at < progressIntervalMs) return
    entry.at = now
    remember(progress, upload.id, entry)
    const end = (error: TusError, terminate: boolean) => {
      if (!context.state.running.has(stop)) entry.late = { error, terminate }
      else stopWith(stop, error, terminate)
    }
    entry.running = run(context, onProgress, { ...upload, offset }, caller, end).finally(() => {
      entry.running = null
    })
    caller.waitUntil?.(entry.running)
  }
}

async function run(
  { report }: Context,
  onProgress: NonNullable<UploadHooks['onProgress']>,
  upload: Upload,
  caller: Caller,
  end: (error: TusError, terminate: boolean) => void,
): Promise<void> {
  try {
    await onProgress({
      ...eventOf('progress', upload, caller),
      stop: (error, options) => end(error, options?.terminate ?? false),
    })
  } catch (error) {
    if (error instanceof TusError) end(error, false)
    else report(error, caller)
  }
}

/** Ends a request's body at the application's wish. */
function stopWith(stop: Stop, error: TusError, terminate: boolean): void {
  stop.error ??= error
  stop.terminate ||= terminate
  stop.reason ??= 'stopped'
  stop.listener?.()
}

/** Applies what `onProgress` decided when the request that it was called for was over. Lock held. */
export function stopLate(context: Context, id: string, stop: Stop): void {
  const entry = context.progress.get(id)
  const late = entry?.late ?? null
  if (entry === undefined || late === null) return
  entry.late = null
  stopWith(stop, late.error, late.terminate)
}

/** Waits for the call that runs, and applies what it decides. Lock held. */
export async function settleProgress(context: Context, id: string, stop: Stop): Promise<void> {
  await context.progress.get(id)?.running
  stopLate(context, id, stop)
}

function remember(progress: Map<string, Progress>, id: string, entry: Progress): void {
  progress.delete(id)
  progress.set(id, entry)
  // The oldest entry comes first.
  const [oldest] = progress.size > most ? progress.keys() : []
  if (oldest !== undefined) progress.delete(oldest)
}
