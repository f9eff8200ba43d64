import type { Upload } from '../store.ts'
import { totalLength } from '../upload/concatenate.ts'
import type { Context } from '../upload/context.ts'
import { inspect } from '../upload/inspect.ts'
import { type Answer, type Call, withReply } from './answer.ts'
import { formatExpires } from './headers.ts'

/** HEAD: where to go on. */
export async function head({ context, caller }: Call, id: string): Promise<Answer> {
  const upload = await inspect(context, id, caller)
  const headers = { ...(await describe(context, upload)), ...formatExpires(upload) }
  // A client whose HEAD is answered otherwise would start over.
  return { ...withReply({ status: 200, headers }, caller), status: 200 }
}

async function describe(context: Context, upload: Upload): Promise<Record<string, string>> {
  const headers: Record<string, string> = {}
  const { concat, metadata } = upload
  let { length } = upload
  if (concat?.type === 'final' && upload.offset !== length) {
    // Not joined yet: it has no offset of its own, and its length is known once those of its parts are.
    length ??= totalLength(await Promise.all(concat.partials.map((id) => context.store.get(id))))
    if (length !== null) headers['Upload-Length'] = String(length)
  } else {
    headers['Upload-Offset'] = String(upload.offset)
    if (length === null) headers['Upload-Defer-Length'] = '1'
    else headers['Upload-Length'] = String(length)
  }
  if (metadata !== null) headers['Upload-Metadata'] = metadata
  if (concat !== null) headers['Upload-Concat'] = concat.type === 'partial' ? 'partial' : concat.value
  return headers
}
