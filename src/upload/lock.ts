import { newStop, type Stop } from '../body/receive.ts'
import { TusError } from '../errors.ts'
import type { Lock } from '../locker.ts'
import type { Context, State } from './context.ts'

/** What somebody who holds an upload's lock works with. */
export interface Hold {
  /** Tells that the work should end: somebody else waits, or the server shuts down. */
  readonly stop: Stop
  /** To be called before each write. */
  readonly guard: () => void | Promise<void>
}

/**
 * Runs `work` with the upload's lock. The present holder is asked to give way.
 * @throws TusError 423 when the lock is not had in time.
 */
export async function withLock<T>(context: Context, id: string, work: (hold: Hold) => Promise<T>): Promise<T> {
  const stop = newStop()
  const lock = await acquire(context, id, () => ask(stop, 'evicted'))
  return run(context, lock, stop, work)
}

/** Runs `work` with the upload's lock if nobody has it, else returns null at once. */
export async function withFreeLock<T>(
  context: Context,
  id: string,
  work: (hold: Hold) => Promise<T>,
): Promise<T | null> {
  const lock = await context.locker.tryAcquire(id)
  return lock === null ? null : run(context, lock, newStop(), work)
}

/** Runs `work` with several locks, taken in one order everywhere so that two requests cannot block each other. */
export function withLocks<T>(context: Context, ids: readonly string[], work: () => Promise<T>): Promise<T> {
  const [first, ...rest] = [...new Set(ids)].sort()
  return first === undefined ? work() : withLock(context, first, () => withLocks(context, rest, work))
}

/** Asks every running request to end. */
export function stopAll({ running }: State): void {
  for (const stop of running) ask(stop, 'closing')
}

async function run<T>({ state }: Context, lock: Lock, stop: Stop, work: (hold: Hold) => Promise<T>): Promise<T> {
  state.running.add(stop)
  // It may have waited for the lock while the server began to shut down.
  if (state.closing) ask(stop, 'closing')
  try {
    return await work({ stop, guard: () => lock.guard?.() })
  } finally {
    state.running.delete(stop)
    await lock.release()
  }
}

async function acquire(context: Context, id: string, onContention: () => void): Promise<Lock> {
  const wait = new AbortController()
  const timer = setTimeout(() => wait.abort(new TusError('locked')), context.lockTimeoutMs)
  try {
    return await context.locker.acquire(id, { signal: wait.signal, onContention })
  } finally {
    clearTimeout(timer)
  }
}

function ask(stop: Stop, reason: NonNullable<Stop['reason']>): void {
  stop.reason ??= reason
  stop.listener?.()
}
