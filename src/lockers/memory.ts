import type { Lock, Locker } from '../locker.ts'

/** Locks within this process, first come first served. Several processes on one store need a locker they share. */
export function memoryLocker(): Required<Locker> {
  const queues = new Map<string, Queue>()

  function grant(id: string, queue: Queue): Lock {
    let held = true
    return {
      release() {
        if (held) {
          held = false
          next(id, queue)
        }
        return released
      },
    }
  }

  function next(id: string, queue: Queue): void {
    const waiter = queue.waiters.shift()
    if (waiter === undefined) {
      queues.delete(id)
      return
    }
    queue.ask = waiter.ask
    waiter.take(grant(id, queue))
    if (queue.waiters.length > 0) disturb(queue)
  }

  return {
    isFree: (id) => !queues.has(id),

    async tryAcquire(id) {
      if (queues.has(id)) return null
      const queue: Queue = { ask: undefined, waiters: [] }
      queues.set(id, queue)
      return grant(id, queue)
    },

    async acquire(id, { signal, onContention }) {
      signal.throwIfAborted()
      const present = queues.get(id)
      if (present !== undefined) return wait(present, signal, onContention)
      const queue: Queue = { ask: onContention, waiters: [] }
      queues.set(id, queue)
      return grant(id, queue)
    },
  }
}

/** One id while it is locked. */
interface Queue {
  /** Asks the present holder to give way; taken away once it has been called. */
  ask: (() => void) | undefined
  readonly waiters: Waiter[]
}

interface Waiter {
  readonly ask: (() => void) | undefined
  take(lock: Lock): void
}

const released = Promise.resolve()

function wait(queue: Queue, signal: AbortSignal, ask: (() => void) | undefined): Promise<Lock> {
  return new Promise<Lock>((resolve, reject) => {
    const waiter: Waiter = {
      ask,
      take(lock) {
        signal.removeEventListener('abort', abort)
        resolve(lock)
      },
    }
    function abort(): void {
      queue.waiters.splice(queue.waiters.indexOf(waiter), 1)
      reject(signal.reason as Error)
    }
    queue.waiters.push(waiter)
    signal.addEventListener('abort', abort, { once: true })
    disturb(queue)
  })
}

function disturb(queue: Queue): void {
  const { ask } = queue
  queue.ask = undefined
  ask?.()
}
