import { TusError } from '../errors.ts'
import { append } from '../upload/append.ts'
import { type Answer, type Call, withReply } from './answer.ts'
import { incomingBody } from './body.ts'
import { formatExpires, hasUploadContentType, parseSize, requireSize } from './headers.ts'

/** PATCH: bytes from an offset on. */
export async function patch(call: Call, id: string): Promise<Answer> {
  const { headers } = call.request
  if (!hasUploadContentType(headers)) throw new TusError('content_type')
  const offset = requireSize(headers, 'Upload-Offset')
  const length = parseSize(headers, 'Upload-Length')
  const upload = await append(call.context, id, incomingBody(call, offset, length))
  const told = { 'Upload-Offset': String(upload.offset), ...formatExpires(upload) }
  return withReply({ status: 204, headers: told }, call.caller)
}
