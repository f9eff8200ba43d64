/** A time limit for one piece of work. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal
}

/**
 * Begins a time limit, which the end of the work disposes of. `AbortSignal.timeout` would stay until its time is over,
 * thousands of them at a time, and `AbortSignal.any` costs more than all else here.
 * @param ending Ends it early.
 */
export function startDeadline(ms: number, ending?: AbortSignal): Deadline {
  const controller = new AbortController()
  const end = () => controller.abort(ending?.reason)
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms / 1000} s`)), ms)
  if (ending?.aborted === true) end()
  ending?.addEventListener('abort', end)
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      ending?.removeEventListener('abort', end)
    },
  }
}
