import { TusError } from '../errors.ts'
import { checkMetadata } from '../metadata.ts'
import type { Upload } from '../store.ts'
import type { Incoming } from '../upload/append.ts'
import { concatenate } from '../upload/concatenate.ts'
import { create } from '../upload/create.ts'
import { type Answer, type Call, withReply } from './answer.ts'
import { incomingBody } from './body.ts'
import { parseConcat } from './concat.ts'
import { formatExpires, hasUploadContentType, parseDeferLength, parseSize } from './headers.ts'

/** POST: a new upload, perhaps with its first bytes, perhaps made of partial ones. */
export async function post(call: Call): Promise<Answer> {
  const { context, request, caller, locator } = call
  const { headers } = request
  const concat = parseConcat(context, headers.get('upload-concat'), locator)
  const metadata = checkMetadata(headers.get('upload-metadata'), context.maxMetadataSize)
  const length = parseSize(headers, 'Upload-Length')
  const deferred = parseDeferLength(headers)
  const body = createdBody(call)

  if (concat?.type === 'final') {
    if (length !== null || deferred) {
      throw new TusError('invalid_header', 'Upload-Length and Upload-Defer-Length do not go with Upload-Concat: final')
    }
    if (body !== null) throw new TusError('invalid_request', 'A final upload takes no data of its own')
    return created(await concatenate(context, caller, { length, metadata, concat }, concat.partials), call)
  }
  if (deferred && length !== null) {
    throw new TusError('invalid_header', 'Only one of Upload-Length and Upload-Defer-Length may be sent')
  }
  if (!deferred && length === null) {
    throw new TusError('invalid_header', 'Upload-Length or Upload-Defer-Length: 1 is missing')
  }
  if (deferred && !context.extensions.has('creation-defer-length')) {
    throw new TusError('extension_off', 'Upload-Defer-Length is not supported here; send Upload-Length')
  }
  const upload = await create(context, caller, { length, metadata, concat }, body)
  return created(upload, call, body === null ? {} : { 'Upload-Offset': String(upload.offset) })
}

function createdBody(call: Call): Incoming | null {
  const { context, request } = call
  const contentLength = parseSize(request.headers, 'Content-Length') ?? 0
  if (!hasUploadContentType(request.headers)) {
    if (contentLength > 0) throw new TusError('content_type')
    return null
  }
  if (context.extensions.has('creation-with-upload')) return incomingBody(call, 0, null)
  if (contentLength > 0 || request.headers.has('transfer-encoding') || request.body !== null) {
    throw new TusError('extension_off', 'creation-with-upload is not supported here; send the data with PATCH')
  }
  return null
}

function created(upload: Upload, { locator, caller }: Call, more: Record<string, string> = {}): Answer {
  const headers = { Location: locator.locate(upload.id) + caller.query, ...more, ...formatExpires(upload) }
  return withReply({ status: 201, headers }, caller)
}
