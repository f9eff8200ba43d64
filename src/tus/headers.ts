/** Header values of tus 1.0.0: strict parsing with errors that name the header, and formatting. */
import { TusError } from '../errors.ts'
import type { Upload } from '../store.ts'

export const version = '1.0.0'
export const uploadContentType = 'application/offset+octet-stream'

/**
 * A header that holds a count of bytes, or `null` when it is missing.
 * @throws TusError 400 unless it is digits only and at most 2^53-1.
 */
export function parseSize(headers: Headers, name: string): number | null {
  const value = headers.get(name)
  if (value === null) return null
  const size = Number(value)
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(size)) {
    throw new TusError('invalid_header', `${name} must be a whole number of bytes from 0 to 9007199254740991`)
  }
  return size
}

/** As `parseSize`, where the header is required. */
export function requireSize(headers: Headers, name: string): number {
  const size = parseSize(headers, name)
  if (size === null) throw new TusError('invalid_header', `${name} is missing`)
  return size
}

/** Whether the body carries bytes of an upload. Parameters behind the media type do not matter. */
export function hasUploadContentType(headers: Headers): boolean {
  const value = headers.get('content-type')
  if (value === uploadContentType) return true
  return value?.split(';', 1)[0]?.trim().toLowerCase() === uploadContentType
}

/**
 * `Upload-Defer-Length`: true when it is `1`, false when it is missing.
 * @throws TusError 400 for any other value.
 */
export function parseDeferLength(headers: Headers): boolean {
  const value = headers.get('upload-defer-length')
  if (value === null) return false
  if (value !== '1') throw new TusError('invalid_header', 'Upload-Defer-Length must be 1')
  return true
}

/** The headers that describe an upload's state, for HEAD and (offset, expiry) PATCH and POST. */
export function formatExpires(upload: Upload): Record<string, string> {
  return upload.expiresAt === null || upload.completed
    ? {}
    : { 'Upload-Expires': new Date(upload.expiresAt).toUTCString() }
}
