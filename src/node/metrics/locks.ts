import type { Locker } from '../../locker.ts'
import type { Meters } from './meters.ts'

/** The locker, with waits and evictions counted. */
export function meteredLocker(locker: Locker, meters: Meters): Locker {
  const { lockWaitSeconds, lockTimeouts, lockEvictions } = meters
  return {
    ...locker,
    async acquire(id, { signal, onContention }) {
      const started = performance.now()
      try {
        return await locker.acquire(id, {
          signal,
          ...(onContention !== undefined && {
            onContention() {
              lockEvictions.inc()
              onContention()
            },
          }),
        })
      } catch (error) {
        if (signal.aborted) lockTimeouts.inc()
        throw error
      } finally {
        lockWaitSeconds.observe((performance.now() - started) / 1000)
      }
    },
  }
}
