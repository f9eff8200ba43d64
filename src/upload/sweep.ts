import type { SweepResult } from '../options.ts'
import { joinWaiting } from './concatenate.ts'
import { type Context, isExpired } from './context.ts'
import { eventOf } from './caller.ts'
import { type Hold, withFreeLock } from './lock.ts'

/**
 * Removes what has expired, and joins final uploads that nobody came back for. Uploads that a request works on are
 * left for the next time. One that fails is reported and does not keep the others from being looked at.
 */
export async function sweep(context: Context): Promise<SweepResult> {
  const result = { removed: 0, skipped: 0, concatenated: 0, leftovers: 0 }
  for await (const { id, concat, expiresAt } of context.store.incomplete()) {
    try {
      const joined = concat?.type === 'final' ? await joinsNow(context, id) : 'no'
      if (joined === 'yes') result.concatenated++
      const isOver = joined !== 'yes' && expiresAt !== null && expiresAt <= Date.now()
      const removed = isOver ? await withFreeLock(context, id, (hold) => removeExpired(context, id, hold)) : false
      if (removed === true) result.removed++
      else if (removed === null || joined === 'failed') result.skipped++
    } catch (error) {
      result.skipped++
      context.report(error, null)
    }
  }
  await removeLeftovers(context, result)
  return result
}

async function removeLeftovers(context: Context, result: { leftovers: number; skipped: number }): Promise<void> {
  for await (const leftover of context.store.leftovers?.() ?? []) {
    try {
      const removed = await withFreeLock(context, leftover.id, () => leftover.remove())
      if (removed === true) result.leftovers++
    } catch (error) {
      result.skipped++
      context.report(error, null)
    }
  }
}

/** Whether a waiting final upload is complete now. One that cannot be joined expires all the same. */
async function joinsNow(context: Context, id: string): Promise<'yes' | 'no' | 'failed'> {
  try {
    return (await withFreeLock(context, id, (hold) => joinWaiting(context, id, null, hold))) === true ? 'yes' : 'no'
  } catch (error) {
    context.report(error, null)
    return 'failed'
  }
}

/** Looked at again under the lock: it may have been continued or completed meanwhile. */
async function removeExpired(context: Context, id: string, { guard }: Hold): Promise<boolean> {
  const upload = await context.store.get(id)
  if (upload === null || !isExpired(upload)) return false
  await context.progress.get(id)?.running
  await context.hooks.onExpire?.(eventOf('expire', upload, null))
  await guard()
  await context.store.terminate(upload)
  context.progress.delete(id)
  return true
}
