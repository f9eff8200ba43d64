import type { Upload } from '../store.ts'
import type { Caller } from './caller.ts'
import type { Context } from './context.ts'
import type { Hold } from './lock.ts'
import { removeUpload } from './terminate.ts'

/**
 * Runs what must succeed for a new upload to stay; it is removed where that throws, unless `keep` has been called
 * before. Lock held.
 */
export async function orDiscard<T>(
  context: Context,
  created: Upload,
  caller: Caller,
  hold: Hold,
  work: (keep: () => void) => Promise<T>,
): Promise<T> {
  let kept = false
  try {
    return await work(() => (kept = true))
  } catch (error) {
    if (kept) throw error
    try {
      await removeUpload(context, created, caller, hold)
    } catch (failure) {
      context.report(failure, caller)
    }
    throw error
  }
}
