import type { TusHandler } from '../options.ts'
import type { Logger } from 'pino'

/** Sweeps from time to time, never twice at once. Returns how to stop. */
export function startSweeping(handler: TusHandler, intervalMs: number, log: Logger): () => void {
  let running = false
  const sweep = async () => {
    if (running) return
    running = true
    try {
      const result = await handler.sweep()
      const isIdle = Object.values(result).every((count) => count === 0)
      log[isIdle ? 'debug' : 'info'](result, 'swept')
    } catch (error) {
      log.error({ err: error }, 'sweep failed')
    } finally {
      running = false
    }
  }
  const timer = setInterval(() => void sweep(), intervalMs).unref()
  return () => clearInterval(timer)
}
