import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import { checkLimit, type Context, isExpired, limitOf } from './context.ts'
import { finish } from './finish.ts'
import { withLock, withLocks } from './lock.ts'
import { type Draft, plan } from './plan.ts'

/**
 * Creates a final upload out of partial ones. Where some are unfinished the final waits for them: the last one to be
 * completed joins it, or else the next HEAD on it, or a sweep.
 * @throws TusError 400 when a partial is unknown, not partial or (without concatenation-unfinished) unfinished; 413
 * when the total is too large.
 */
export async function concatenate(
  context: Context,
  request: Request,
  draft: Draft,
  partialIds: readonly string[],
): Promise<Upload> {
  const partials = await Promise.all([...new Set(partialIds)].map((id) => requirePartial(context, id)))
  const byId = new Map(partials.map((partial) => [partial.id, partial]))
  const length = totalLength(partialIds.map((id) => byId.get(id) ?? null))
  const { planned } = await plan(context, request, { ...draft, length })

  return withLock(context, planned.id, async () => {
    const final = await context.store.create(planned)
    // Only now that the final is on record: a partial completed from here on finds it.
    return (await join(context, final, request)) ?? final
  })
}

/** Joins a final upload whose partials are all complete, and finishes it; null when it has to wait. Lock held. */
export async function join(context: Context, final: Upload, request: Request | null): Promise<Upload | null> {
  const { store, removePartials } = context
  if (final.concat?.type !== 'final' || store.concatenate === undefined) return null
  const ids = final.concat.partials
  let joined: Upload | null = final
  if (final.offset !== final.length) {
    // Looked at before their locks are taken: whoever uploads to one of them must not be disturbed.
    const seen = await completePartials(context, ids)
    if (seen === null || !(await fits(context, final, totalLength(seen) ?? 0, request))) return null
    joined = await withLocks(context, ids, async () => {
      const partials = await completePartials(context, ids)
      return (partials && (await store.concatenate?.(final, partials, { consumes: removePartials }))) ?? null
    })
  }
  if (joined === null) return null
  // The result is durable. Removed before the upload counts as completed, so that a crash in between is made good.
  if (removePartials) for (const id of new Set(ids)) await removePartial(context, id)
  return finish(context, joined, request)
}

/**
 * Whether the result is within the limit, which may be known only now: partial uploads of deferred length. Without a
 * request a limit that depends on one cannot be told; the next HEAD can.
 * @throws TusError 413 when it is not.
 */
async function fits(context: Context, final: Upload, length: number, request: Request | null): Promise<boolean> {
  if (request === null && typeof context.maxSize === 'function') return false
  checkLimit(length, await limitOf(context, request, { ...final, length }))
  return true
}

/** The lengths' sum, or null while one is unknown. */
export function totalLength(partials: readonly (Upload | null)[]): number | null {
  let total = 0
  for (const partial of partials) {
    if (partial === null || partial.length === null) return null
    total += partial.length
  }
  return total
}

/**
 * Called when an upload may just have been completed, without its lock: joins the finals that waited for it. What
 * fails is reported; the next HEAD on the final or a sweep tries again.
 */
export async function joinFinalsOf(context: Context, partial: Upload, request: Request): Promise<void> {
  if (partial.concat?.type !== 'partial' || !partial.completed) return
  if (!context.extensions.has('concatenation-unfinished')) return
  try {
    for (const id of (await context.store.finalsOf?.(partial.id)) ?? []) {
      await withLock(context, id, () => joinWaiting(context, id, request))
    }
  } catch (error) {
    context.report(error, null)
  }
}

/** Joins a waiting final without a request for it; whether it is complete now. Lock held. */
export async function joinWaiting(context: Context, id: string, request: Request | null): Promise<boolean> {
  const final = await context.store.get(id)
  if (final === null || final.completed) return false
  return (await join(context, final, request)) !== null
}

async function requirePartial(context: Context, id: string): Promise<Upload> {
  const partial = await context.store.get(id)
  if (partial === null || isExpired(partial)) {
    throw new TusError('invalid_request', `Upload-Concat names ${id}, which is not an upload here`)
  }
  if (partial.concat?.type !== 'partial') {
    throw new TusError('invalid_request', `Upload-Concat names ${id}, which is not a partial upload`)
  }
  if (!partial.completed && !context.extensions.has('concatenation-unfinished')) {
    throw new TusError('invalid_request', `Upload-Concat names ${id}, which is not complete`)
  }
  return partial
}

/** The records in the order of `ids`, or null when one is missing or incomplete. */
async function completePartials(context: Context, ids: readonly string[]): Promise<Upload[] | null> {
  const byId = new Map<string, Upload>()
  for (const id of new Set(ids)) {
    const partial = await context.store.get(id)
    if (partial === null || !partial.completed) return null
    byId.set(id, partial)
  }
  return ids.flatMap((id) => byId.get(id) ?? [])
}

async function removePartial(context: Context, id: string): Promise<void> {
  await withLock(context, id, async () => {
    const partial = await context.store.get(id)
    if (partial !== null) await context.store.terminate(partial)
  })
}
