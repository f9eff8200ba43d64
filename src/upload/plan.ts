import type { Creation } from '../hooks.ts'
import { isValidId } from '../id.ts'
import { formatMetadata } from '../metadata.ts'
import { TusError } from '../errors.ts'
import type { NewUpload } from '../store.ts'
import { addReply, type Caller, requestOf } from './caller.ts'
import { checkLimit, type Context, expiryFromNow, limitOf } from './context.ts'

/** What a client says of an upload it wants. */
export type Draft = Pick<NewUpload, 'length' | 'metadata' | 'concat'>

/**
 * Decides on an upload before anything is stored: its id, checked before any store sees it, its limit, and whether the
 * application wants it.
 * @param bytes How many come along, where that is declared.
 * @throws TusError 413 when the length is over the limit, or what comes along; what `onCreate` throws.
 */
export async function plan(context: Context, caller: Caller, draft: Draft, bytes = 0): Promise<NewUpload> {
  const checkSize = (limit: number) => {
    if (draft.length !== null) checkLimit(draft.length, limit)
    if (bytes > limit) throw tooLarge(bytes, limit)
  }
  const unnamed = { ...draft, attributes: {}, createdAt: Date.now(), expiresAt: expiryFromNow(context) }
  const id = await context.generateId(caller.request, unnamed)
  if (!isValidId(id)) throw new TypeError(`generateId returned ${JSON.stringify(id)}, which is no valid id`)
  const upload = { id, ...unnamed }
  checkSize(await limitOf(context, caller, upload))
  const creation = await context.hooks.onCreate?.({ upload, ...requestOf(caller) })
  if (creation === undefined) return upload
  const planned = change(upload, creation)
  addReply(caller, creation.reply)
  const query = new URLSearchParams(creation.query).toString()
  if (query !== '') caller.query = `?${query}`
  // A limit may depend on what has changed.
  checkSize(await limitOf(context, caller, planned))
  return planned
}

export function tooLarge(bytes: number, most: number): TusError {
  return new TusError('too_large', `The body has ${bytes} bytes, the upload may have ${most}`)
}

/** @throws TypeError when the upload cannot be that way. */
function change(upload: NewUpload, { id, metadata, attributes }: Creation): NewUpload {
  if (id !== undefined && !isValidId(id)) {
    throw new TypeError(`onCreate returned the id ${JSON.stringify(id)}, which is no valid id`)
  }
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value !== 'string') throw new TypeError(`onCreate returned an attribute ${name} that is not text`)
  }
  return {
    ...upload,
    ...(id !== undefined && { id }),
    ...(metadata !== undefined && { metadata: formatMetadata(metadata) }),
    ...(attributes !== undefined && { attributes: { ...upload.attributes, ...attributes } }),
  }
}
