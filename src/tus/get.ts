/** GET: completed uploads as files, with conditional and range requests (RFC 9110). */
import { TusError } from '../errors.ts'
import { parseMetadata } from '../metadata.ts'
import type { ByteRange, Upload } from '../store.ts'
import { requireCompleted, stream } from '../upload/download.ts'
import type { Answer, Call } from './answer.ts'
import { contentDisposition, contentType } from '../disposition.ts'

/** @param method GET, or HEAD for the same without its body. */
export async function get({ context, request, caller }: Call, id: string, method: 'GET' | 'HEAD'): Promise<Answer> {
  const upload = await requireCompleted(context, id, caller)
  const length = upload.offset
  const etag = `"${upload.createdAt.toString(36)}-${length.toString(36)}"`
  const headers: Record<string, string> = {
    ETag: etag,
    'Last-Modified': new Date(upload.createdAt).toUTCString(),
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'no-cache',
  }
  const status = precondition(request.headers, etag, upload)
  if (status === 412) throw new TusError('invalid_request', 'The file is not the one asked for', { status: 412 })
  if (status === 304) return { status, headers }

  const metadata = parseMetadata(upload.metadata)
  const type = contentType(metadata['filetype'])
  headers['Content-Type'] = type
  headers['Content-Disposition'] = contentDisposition(type, metadata['filename'])
  // Whatever slips through as active content finds itself without rights.
  headers['Content-Security-Policy'] = "sandbox; default-src 'none'"
  // The URL may be one that lets whoever knows it in.
  headers['Referrer-Policy'] = 'no-referrer'

  // Ranges are for GET only (RFC 9110, 14.2).
  const range = method === 'GET' ? requestedRange(request, etag, upload) : null
  if (range === 'unsatisfiable') {
    throw new TusError('range', undefined, { headers: { 'Content-Range': `bytes */${length}` } })
  }
  const { start, end } = range ?? { start: 0, end: length }
  headers['Content-Length'] = String(end - start)
  if (range !== null) headers['Content-Range'] = `bytes ${start}-${end - 1}/${length}`
  const answer = { status: range === null ? 200 : 206, headers }
  if (method === 'HEAD' || start === end) return answer
  return { ...answer, body: stream(context, upload, { start, end }, caller) }
}

/** Evaluates the conditional headers in the order of RFC 9110, section 13.2.2. */
function precondition(headers: Headers, etag: string, upload: Upload): 200 | 304 | 412 {
  const modified = Math.floor(upload.createdAt / 1000) * 1000
  const ifMatch = headers.get('if-match')
  const ifUnmodified = parseDate(headers.get('if-unmodified-since'))
  if (ifMatch !== null) {
    if (!matches(ifMatch, etag, false)) return 412
  } else if (ifUnmodified !== null && modified > ifUnmodified) return 412
  const ifNoneMatch = headers.get('if-none-match')
  if (ifNoneMatch !== null) return matches(ifNoneMatch, etag, true) ? 304 : 200
  const ifModified = parseDate(headers.get('if-modified-since'))
  return ifModified !== null && modified <= ifModified ? 304 : 200
}

function matches(list: string, etag: string, weak: boolean): boolean {
  if (list.trim() === '*') return true
  return list.split(',').some((item) => {
    const tag = item.trim()
    return tag === etag || (weak && tag === `W/${etag}`)
  })
}

function parseDate(value: string | null): number | null {
  if (value === null) return null
  const time = Date.parse(value)
  return Number.isNaN(time) ? null : time
}

/** The one range asked for; null for the whole file: no, several or malformed ranges, or an If-Range that differs. */
function requestedRange(request: Request, etag: string, upload: Upload): ByteRange | 'unsatisfiable' | null {
  const length = upload.offset
  const value = request.headers.get('range')
  if (value === null) return null
  const ifRange = request.headers.get('if-range')
  const modified = Math.floor(upload.createdAt / 1000) * 1000
  if (ifRange !== null && ifRange !== etag && parseDate(ifRange) !== modified) return null
  const [, first = '', last = ''] = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(value) ?? []
  if (first === '' && last === '') return null
  if (first === '') {
    const size = Math.min(Number(last), length)
    return size === 0 ? 'unsatisfiable' : { start: length - size, end: length }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return null
  if (start >= length) return 'unsatisfiable'
  return { start, end: last === '' ? length : Math.min(Number(last) + 1, length) }
}
