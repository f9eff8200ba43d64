/** What other tus servers write beside the bytes of an upload on a disk, and what that says in our terms. */
import { formatMetadata } from '../../metadata.ts'
import { isCount, isObject, isString } from '../../fields.ts'

/** The servers whose folders can be taken over, as people call them. */
export type Server = 'tusd' | '@tus/server' | 'fileloft for Rust'

/** An upload as another server has recorded it. */
export interface ForeignUpload {
  readonly server: Server
  readonly id: string
  readonly length: number | null
  readonly metadata: string | null
  /** Milliseconds since the epoch; null = not recorded. */
  readonly createdAt: number | null
  /** The same, of its expiration. */
  readonly expiresAt: number | null
  /** `'partial'`, or the ids that a final upload was made of. */
  readonly concat: 'partial' | readonly string[] | null
  /** Bytes that count; null = all that the file has. */
  readonly offset: number | null
  /** Where its bytes were put, in place of a file named after the id; null = there. */
  readonly dataPath: string | null
}

/** Whether a record is one of ours, of whatever version. */
export function isOwn(record: unknown): boolean {
  return isObject(record) && Object.hasOwn(record, 'fileloft')
}

/**
 * Reads a record of another server; null where it is nobody's.
 * @param suffix Of the file that it was found in.
 * @throws Error that says what of it cannot be used.
 */
export function readForeign(record: unknown, suffix: '.info' | '.json'): ForeignUpload | null {
  if (!isObject(record)) return null
  if (suffix === '.json') return isString(record['id']) && 'offset' in record ? ofTusServer(record) : null
  if (isString(record['ID']) && 'SizeIsDeferred' in record) return ofTusd(record)
  return isString(record['id']) && 'size_is_deferred' in record ? ofRust(record) : null
}

type Fields = Readonly<Record<string, unknown>>

/** `FileInfo` in tusd's pkg/handler/datastore.go; the offset in it is the one at creation. */
function ofTusd(record: Fields): ForeignUpload {
  const storage = isObject(record['Storage']) ? record['Storage'] : {}
  return {
    server: 'tusd',
    id: String(record['ID']),
    length: record['SizeIsDeferred'] === true ? null : count(record, 'Size'),
    metadata: metadata(record['MetaData']),
    createdAt: null,
    expiresAt: null,
    concat: concat(record['IsPartial'], record['IsFinal'], record['PartialUploads']),
    offset: null,
    dataPath: isString(storage['Path']) && storage['Path'] !== '' ? storage['Path'] : null,
  }
}

/** `Upload` of @tus/utils as its FileConfigstore writes it; the offset in it is the one at creation. */
function ofTusServer(record: Fields): ForeignUpload {
  return {
    server: '@tus/server',
    id: String(record['id']),
    length: 'size' in record ? count(record, 'size') : null,
    metadata: metadata(record['metadata']),
    createdAt: time(record['creation_date']),
    expiresAt: null,
    concat: null,
    offset: null,
    dataPath: null,
  }
}

/** `UploadInfo` in fileloft-core/src/info.rs. */
function ofRust(record: Fields): ForeignUpload {
  return {
    server: 'fileloft for Rust',
    id: String(record['id']),
    length: record['size'] === null ? null : count(record, 'size'),
    metadata: metadata(record['metadata']),
    createdAt: null,
    expiresAt: time(record['expires_at']),
    concat: concat(record['is_partial'], record['is_final'], record['partial_uploads']),
    offset: count(record, 'offset'),
    dataPath: null,
  }
}

function count(record: Fields, field: string): number {
  const value = record[field]
  if (!isCount(value)) throw new Error(`its ${field} is ${JSON.stringify(value)}`)
  return value
}

/** They keep the values decoded; a key without one has null. */
function metadata(value: unknown): string | null {
  if (!isObject(value)) return null
  const entries = Object.entries(value).map(([key, text]) => [key, text === null ? '' : text] as const)
  return formatMetadata(Object.fromEntries(entries) as Record<string, string>)
}

function concat(isPartial: unknown, isFinal: unknown, partials: unknown): ForeignUpload['concat'] {
  if (isPartial === true) return 'partial'
  if (isFinal !== true) return null
  if (Array.isArray(partials) && partials.every(isString)) return partials
  throw new Error('it does not name the partial uploads that it is made of')
}

function time(value: unknown): number | null {
  const milliseconds = isString(value) ? Date.parse(value) : NaN
  return Number.isNaN(milliseconds) ? null : milliseconds
}
