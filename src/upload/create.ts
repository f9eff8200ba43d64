import type { Cut } from '../body/receive.ts'
import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'
import { appendLocked, type Incoming } from './append.ts'
import { joinFinalsOf } from './concatenate.ts'
import type { Context } from './context.ts'
import { finish } from './finish.ts'
import { withLock } from './lock.ts'
import { type Draft, plan } from './plan.ts'

/**
 * Creates an upload, with the first bytes if there are any. A body that is refused takes the upload with it: the
 * client never learns its URL.
 */
export async function create(
  context: Context,
  request: Request,
  draft: Draft,
  incoming: Incoming | null,
): Promise<{ upload: Upload; cut: Cut | null }> {
  const declared = incoming?.contentLength ?? 0
  if (draft.length !== null && declared > draft.length) throw tooLarge(declared, draft.length)
  const { planned, limit } = await plan(context, request, draft)
  if (declared > limit) throw tooLarge(declared, limit)
  if (incoming === null && planned.length !== 0) return { upload: await context.store.create(planned), cut: null }

  const result = await withLock(context, planned.id, async (hold) => {
    const created = await context.store.create(planned)
    if (incoming === null) return { upload: await finish(context, created, request), cut: null }
    try {
      return await appendLocked(context, created, incoming, hold)
    } catch (error) {
      // All but a failed finish, which a HEAD may still repeat for those who choose their ids.
      if (error instanceof TusError && isRefusal(error)) await discard(context, created, request)
      throw error
    }
  })
  await joinFinalsOf(context, result.upload, request)
  return result
}

function tooLarge(declared: number, most: number): TusError {
  return new TusError('too_large', `The body has ${declared} bytes, the upload may have ${most}`)
}

function isRefusal(error: TusError): boolean {
  return ['checksum_mismatch', 'invalid_header', 'checksum_algorithm', 'too_large', 'body_incomplete'].includes(
    error.code,
  )
}

async function discard(context: Context, upload: Upload, request: Request): Promise<void> {
  try {
    await context.store.terminate(upload)
  } catch (error) {
    context.report(error, request)
  }
}
