import { isValidId } from '../id.ts'
import type { NewUpload } from '../store.ts'
import { checkLimit, type Context, expiryFromNow, limitOf } from './context.ts'

/** What a client says of an upload it wants. */
export type Draft = Pick<NewUpload, 'length' | 'metadata' | 'concat'>

/**
 * Decides on an upload before anything is stored: its id, checked before any store sees it, its limit, and whether the
 * application wants it.
 * @throws TusError 413 when the length is over the limit; what `onCreate` throws.
 */
export async function plan(
  context: Context,
  request: Request,
  draft: Draft,
): Promise<{ planned: NewUpload; limit: number }> {
  const unnamed = { ...draft, createdAt: Date.now(), expiresAt: expiryFromNow(context) }
  const id = await context.generateId(request, unnamed)
  if (!isValidId(id)) throw new TypeError(`generateId returned ${JSON.stringify(id)}, which is no valid id`)
  const planned = { id, ...unnamed }
  const limit = await limitOf(context, request, planned)
  if (draft.length !== null) checkLimit(draft.length, limit)
  await context.callbacks.onCreate?.({ upload: planned, request })
  return { planned, limit }
}
