import type { Store } from '../../store.ts'
import type { StoredEvent } from './outbox.ts'

/**
 * Whether what an event announces has happened. It was written before, so that a crash in between loses nothing; only
 * the store can tell what came of it.
 *
 * - `yes`: send it.
 * - `no`: it did not happen, and whoever tries again announces it anew.
 * - `not yet`: it may still happen.
 */
export async function happened(event: StoredEvent, store: Store): Promise<'yes' | 'no' | 'not yet'> {
  const upload = await store.get(event.uploadId)
  // An id may have been used anew.
  const isThere = upload !== null && upload.createdAt === event.createdAt
  if (event.pending === 'terminate') return isThere ? 'no' : 'yes'
  // Of one that was removed meanwhile nobody knows; it had been accepted, so rather too often than never.
  return !isThere || upload.completed ? 'yes' : 'not yet'
}
