import type { BufferMemory, StorageObserver } from '../objects/observer.ts'

/** Observers that come after the storage was opened. */
export interface StorageObservers {
  /** Goes to the store. */
  readonly observer: StorageObserver
  /** From now on `next` is told, too. */
  readonly add: (next: StorageObserver) => void
}

export function storageObservers(): StorageObservers {
  const all: StorageObserver[] = []
  let memory: BufferMemory | null = null
  return {
    observer: {
      onCall(call) {
        if (all.length === 0) return undefined
        const ends = all.map((each) => each.onCall?.(call))
        return (error) => {
          for (const end of ends) end?.(error)
        }
      },
      onRetry(call) {
        for (const each of all) each.onRetry?.(call)
      },
      onBuffers(told) {
        memory = told
      },
    },
    add(next) {
      all.push(next)
      if (memory !== null) next.onBuffers?.(memory)
    },
  }
}
