import type { TusHandler } from '../options.ts'
import type { Logger } from 'pino'

/** Sweeps from time to time, never twice at once. Returns how to stop. */
export function startSweeping(handler: TusHandler, intervalMs: number, log: Logger): () => void {
  let running = false
  const sweep = async () => {
    if (running) return
    running = true
    try {
      const { removed, skipped, concatenated } = await handler.sweep()
      log[removed + skipped + concatenated > 0 ? 'info' : 'debug']({ removed, skipped, concatenated }, 'swept')
    } catch (error) {
      log.error({ err: error }, 'sweep failed')
    } finally {
      running = false
    }
  }
  const timer = setInterval(() => void sweep(), intervalMs).unref()
  return () => clearInterval(timer)
}
