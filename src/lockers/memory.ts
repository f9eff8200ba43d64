import type { Lock, Locker } from '../locker.ts'

/** Locks within this process, first come first served. Several processes on one store need a locker they share. */
export function memoryLocker(): Locker {
  const holders = new Map<string, Holder>()

  const hold = (id: string, onContention: (() => void) | undefined, queue: Waiter[]): Lock => {
    const holder: Holder = { onContention, queue }
    holders.set(id, holder)
    return {
      async release() {
        if (holders.get(id) !== holder) return
        const next = holder.queue.shift()
        if (next === undefined) holders.delete(id)
        else next.take(hold(id, next.onContention, holder.queue))
        // Those still waiting want the new holder to hurry as well.
        if (next !== undefined && holder.queue.length > 0) next.onContention?.()
      },
    }
  }

  return {
    async tryAcquire(id) {
      return holders.has(id) ? null : hold(id, undefined, [])
    },
    async acquire(id, { signal, onContention }) {
      signal.throwIfAborted()
      const holder = holders.get(id)
      if (holder === undefined) return hold(id, onContention, [])
      return new Promise<Lock>((resolve, reject) => {
        const abort = () => {
          holder.queue.splice(holder.queue.indexOf(waiter), 1)
          reject(signal.reason as Error)
        }
        const waiter: Waiter = {
          onContention,
          take(lock) {
            signal.removeEventListener('abort', abort)
            resolve(lock)
          },
        }
        holder.queue.push(waiter)
        signal.addEventListener('abort', abort, { once: true })
        const { onContention: ask } = holder
        holder.onContention = undefined
        ask?.()
      })
    },
  }
}

interface Holder {
  /** Taken away once it has been called. */
  onContention: (() => void) | undefined
  /** Handed on from holder to holder. */
  readonly queue: Waiter[]
}

interface Waiter {
  readonly onContention: (() => void) | undefined
  take(lock: Lock): void
}
