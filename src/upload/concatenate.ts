import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import type { Caller } from './caller.ts'
import { access, checkLimit, type Context, isExpired, limitOf } from './context.ts'
import { orDiscard } from './discard.ts'
import { tell } from './events.ts'
import { finish, type FinishStage } from './finish.ts'
import { type Hold, withLock, withLocks } from './lock.ts'
import { type Draft, plan } from './plan.ts'

/**
 * Creates a final upload out of partial ones. Where some are unfinished the final waits for them: the last one to be
 * completed joins it, or else the next HEAD on it, or a sweep. A request that fails leaves no final upload behind,
 * as the client would make another one; unless the finish callback has taken this one.
 * @throws TusError 400 when a partial is unknown, not partial or (without concatenation-unfinished) unfinished; 413
 * when the total is too large.
 */
export async function concatenate(
  context: Context,
  caller: Caller,
  draft: Draft,
  partialIds: readonly string[],
): Promise<Upload> {
  const length = totalLength(await requirePartials(context, partialIds, caller))
  const planned = await plan(context, caller, { ...draft, length })
  return withLock(context, planned.id, async (hold) => {
    await hold.guard()
    const final = await context.store.create(planned)
    await tell(context, context.hooks.onCreated, 'created', final, caller)
    return orDiscard(context, final, caller, hold, async (keep) => {
      // Only now that the final is on record: a partial completed from here on finds it.
      const joined = await join(context, final, caller, hold, (stage) => stage === 'finished' && keep())
      // It waits, unless somebody has removed a partial meanwhile.
      if (joined === null) await requirePartials(context, partialIds, caller)
      return joined ?? final
    })
  })
}

/** Joins a final upload whose partials are all complete, and finishes it; null when it has to wait. Lock held. */
export async function join(
  context: Context,
  final: Upload,
  caller: Caller | null,
  hold: Hold,
  onStage?: (stage: FinishStage) => void,
): Promise<Upload | null> {
  if (final.concat?.type !== 'final') return null
  const ids = final.concat.partials
  const joined = final.offset === final.length ? final : await joinBytes(context, final, ids, caller, hold)
  if (joined === null) return null
  const finished = await finish(context, joined, caller, hold, {}, onStage)
  // The last step: until the upload is complete, a client may have to ask for it once more.
  if (context.removePartials) await removePartials(context, finished, caller)
  return finished
}

async function joinBytes(
  context: Context,
  final: Upload,
  ids: readonly string[],
  caller: Caller | null,
  { guard }: Hold,
): Promise<Upload | null> {
  // Looked at before their locks are taken: whoever uploads to one of them must not be disturbed.
  const seen = await completePartials(context, final, ids)
  if (seen === null || !(await fits(context, final, totalLength(seen) ?? 0, caller))) return null
  return withLocks(context, ids, async () => {
    const partials = await completePartials(context, final, ids)
    if (partials === null) return null
    await guard()
    return (await context.store.concatenate?.(final, partials, { consumes: context.removePartials, guard })) ?? null
  })
}

/**
 * Whether the result is within the limit, which may be known only now: partial uploads of deferred length. Without a
 * request a limit that depends on one cannot be told; the next HEAD can.
 * @throws TusError 413 when it is not.
 */
async function fits(context: Context, final: Upload, length: number, caller: Caller | null): Promise<boolean> {
  if (caller === null && typeof context.maxSize === 'function') return false
  checkLimit(length, await limitOf(context, caller, { ...final, length }))
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
export async function joinFinalsOf(context: Context, partial: Upload, caller: Caller): Promise<void> {
  if (partial.concat?.type !== 'partial' || !partial.completed) return
  if (!context.extensions.has('concatenation-unfinished')) return
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work()
    } catch (error) {
      context.report(error, caller)
    }
  }
  // What its hooks say is not about the request for the partial.
  const forItself = { ...caller, reply: null }
  await attempt(async () => {
    for (const id of (await context.store.finalsOf?.(partial.id)) ?? []) {
      await attempt(() => withLock(context, id, (hold) => joinWaiting(context, id, forItself, hold)))
    }
  })
}

/** Joins a waiting final without a request for it; whether it is complete now. Lock held. */
export async function joinWaiting(context: Context, id: string, caller: Caller | null, hold: Hold): Promise<boolean> {
  const final = await context.store.get(id)
  if (final === null || final.completed) return false
  return (await join(context, final, caller, hold)) !== null
}

/** The partial uploads in the order of `ids`. @throws TusError 400 that names the one that is none. */
async function requirePartials(context: Context, ids: readonly string[], caller: Caller): Promise<Upload[]> {
  const partials = await Promise.all([...new Set(ids)].map((id) => requirePartial(context, id, caller)))
  const byId = new Map(partials.map((partial) => [partial.id, partial]))
  return ids.flatMap((id) => byId.get(id) ?? [])
}

async function requirePartial(context: Context, id: string, caller: Caller): Promise<Upload> {
  const partial = await context.store.get(id)
  if (partial === null || isExpired(partial) || !(await isVisible(context, partial, caller))) {
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

/** False where the application hides it: it must not be told from one that does not exist. */
async function isVisible(context: Context, partial: Upload, caller: Caller): Promise<boolean> {
  try {
    await access(context, partial, 'concatenate', caller)
    return true
  } catch (error) {
    if (error instanceof TusError && error.code === 'not_found') return false
    throw error
  }
}

/**
 * The records in the order of `ids`, or null when one is missing or incomplete. One that was created after the final upload
 * has an id that was used anew: nobody has asked whether it may be part of this one.
 */
async function completePartials(context: Context, final: Upload, ids: readonly string[]): Promise<Upload[] | null> {
  const byId = new Map<string, Upload>()
  for (const id of new Set(ids)) {
    const partial = await context.store.get(id)
    if (partial === null || !partial.completed || partial.createdAt > final.createdAt) return null
    byId.set(id, partial)
  }
  return ids.flatMap((id) => byId.get(id) ?? [])
}

/**
 * Removes what a completed final upload was made of. A partial that cannot be removed stays; the final is complete all
 * the same. The first one goes last, and only after all others: it tells whether any is left.
 */
async function removePartials(context: Context, final: Upload, caller: Caller | null): Promise<void> {
  if (final.concat?.type !== 'final') return
  const [first, ...others] = new Set(final.concat.partials)
  let removed = true
  for (const id of others) removed = (await removePartial(context, final, id, caller)) && removed
  if (removed && first !== undefined) await removePartial(context, final, first, caller)
}

/** The same for a final upload that was completed before, where a crash or a failure has left partials. */
export async function removeLeftPartials(context: Context, final: Upload, caller: Caller): Promise<void> {
  if (!context.removePartials || !final.completed || final.concat?.type !== 'final') return
  const [first] = final.concat.partials
  try {
    if (first === undefined || (await removable(context, final, first)) === null) return
    await removePartials(context, final, caller)
  } catch (error) {
    context.report(error, caller)
  }
}

/** An id may have been used anew, after the final upload had been made. */
async function removable(context: Context, final: Upload, id: string): Promise<Upload | null> {
  const partial = await context.store.get(id)
  const isPart = partial?.completed === true && partial.concat?.type === 'partial'
  return isPart && partial.createdAt <= final.createdAt ? partial : null
}

/** Whether it is gone. */
async function removePartial(context: Context, final: Upload, id: string, caller: Caller | null): Promise<boolean> {
  try {
    await withLock(context, id, async ({ guard }) => {
      const partial = await removable(context, final, id)
      await guard()
      if (partial !== null) await context.store.terminate(partial)
    })
    return true
  } catch (error) {
    context.report(error, caller)
    return false
  }
}
