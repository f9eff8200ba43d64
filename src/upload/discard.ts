import type { Upload } from '../store.ts'
import type { Context } from './context.ts'
import type { Hold } from './lock.ts'

/**
 * Runs what must succeed for a new upload to stay; it is removed where that throws, unless `keep` has been called
 * before. Lock held.
 */
export async function orDiscard<T>(
  { store, report }: Context,
  created: Upload,
  request: Request,
  { guard }: Hold,
  work: (keep: () => void) => Promise<T>,
): Promise<T> {
  let kept = false
  try {
    return await work(() => (kept = true))
  } catch (error) {
    if (kept) throw error
    try {
      await guard()
      await store.terminate(created)
    } catch (failure) {
      report(failure, request)
    }
    throw error
  }
}
