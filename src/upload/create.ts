import { cutError } from '../body/receive.ts'
import type { Upload } from '../store.ts'
import { conclude, type Incoming, receiveBody } from './append.ts'
import { joinFinalsOf } from './concatenate.ts'
import { addReply, type Caller } from './caller.ts'
import type { Context } from './context.ts'
import { orDiscard } from './discard.ts'
import { tell } from './events.ts'
import { finish } from './finish.ts'
import { withLock } from './lock.ts'
import { type Draft, plan, tooLarge } from './plan.ts'
import { settleProgress } from './progress.ts'

/**
 * Creates an upload, with the first bytes if there are any. A body that is refused or cannot be stored or recorded takes
 * the upload with it: the client never learns its URL. One that is cut short does not, nor one that the finish callback
 * has heard of.
 */
export async function create(
  context: Context,
  caller: Caller,
  draft: Draft,
  incoming: Incoming | null,
): Promise<Upload> {
  const declared = incoming?.contentLength ?? 0
  if (draft.length !== null && declared > draft.length) throw tooLarge(declared, draft.length)
  const planned = await plan(context, caller, draft, declared)
  const make = async () => {
    const made = await context.store.create(planned)
    await tell(context, context.hooks.onCreated, 'created', made, caller)
    return made
  }
  if (incoming === null && planned.length !== 0) return make()

  const upload = await withLock(context, planned.id, async (hold) => {
    await hold.guard()
    const created = await make()
    return orDiscard(context, created, caller, hold, async (keep) => {
      if (incoming === null) return finish(context, created, caller, hold, {}, keep)
      const received = await receiveBody(context, created, incoming, hold)
      const { stop } = hold
      await settleProgress(context, created.id, stop)
      if (stop.error !== null) throw cutError('stopped', stop)
      const { upload: concluded, cut } = await conclude(context, received, incoming, hold, keep)
      // The client needs the URL more than the failure; when it may go on it is told all the same.
      if (cut === 'refused') addReply(caller, { headers: cutError(cut, stop).headers })
      return concluded
    })
  })
  await joinFinalsOf(context, upload, caller)
  return upload
}
