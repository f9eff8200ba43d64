import type { Upload } from '../store.ts'
import type { Context } from './context.ts'
import type { Hold } from './lock.ts'

/** Runs what must succeed for a new upload to stay; it is removed where that throws. Lock held. */
export async function orDiscard<T>(
  { store, report }: Context,
  created: Upload,
  request: Request,
  { guard }: Hold,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    try {
      await guard()
      await store.terminate(created)
    } catch (failure) {
      report(failure, request)
    }
    throw error
  }
}
