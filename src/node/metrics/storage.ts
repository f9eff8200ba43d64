import type { StorageObserver } from '../../objects/observer.ts'
import type { Meters } from './meters.ts'

/** Counts calls to object storage, and tells how much of the memory for parts is in use. */
export function storageMeter(meters: Meters): StorageObserver {
  const { storageCalls, storageRetries, storageSeconds, live } = meters
  return {
    onCall(kind) {
      const started = performance.now()
      return (error) => {
        storageCalls.inc({ kind, outcome: error === undefined ? 'ok' : 'error' })
        storageSeconds.observe({ kind }, (performance.now() - started) / 1000)
      }
    },
    onRetry: (kind) => storageRetries.inc({ kind }),
    onBuffers(memory) {
      live.memory = memory
    },
  }
}
