import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import {
  brief,
  isAttributes,
  isBoolean,
  isConcat,
  isCount,
  isCountOrNull,
  isObject,
  isString,
  isStringOrNull,
} from '../fields.ts'
import type { Upload } from '../store.ts'
import { errorCode } from './io.ts'

/** An upload as the filesystem store hands it out: the record with what only this store needs to know. */
export interface FileUpload extends Upload {
  /** Of a final upload: whether its bytes were put together. Before that, its data file means nothing. */
  readonly joined: boolean
  /** Bytes of the data file from here on belong to an append that has not ended; `null` = all bytes count. */
  readonly unverifiedFrom: number | null
}

/**
 * The record as the text of `<id>.info`. The offset is not in it: it is the size of the data file. `completed` is one
 * digit at a place that is known, so that it can be set without writing the record anew.
 */
export function formatRecord(upload: FileUpload): string {
  return JSON.stringify({
    fileloft: version,
    completed: upload.completed ? 1 : 0,
    id: upload.id,
    length: upload.length,
    metadata: upload.metadata,
    concat: upload.concat,
    attributes: upload.attributes,
    createdAt: upload.createdAt,
    expiresAt: upload.expiresAt,
    joined: upload.joined,
    unverifiedFrom: upload.unverifiedFrom,
  } satisfies Record<Field, unknown>)
}

/**
 * No record is longer, in bytes; headers are far shorter. Whatever else lies there under a record's name (a backup of
 * some GiB) must not be read into memory.
 */
export const maxRecordBytes = 16 << 20

/**
 * The text of a record file; null when something else than a file is there (a folder, a pipe, links in a circle), or an
 * empty one: a record that is being written, or was not before its server died. Nobody was told of its upload.
 * @throws StoreError with code `corrupt` when it is too long for a record; what the system says when it is missing or
 * cannot be read.
 */
export function readRecordText(path: string): string | null {
  let fd: number
  try {
    // A pipe would wait for its writer, for ever, and everybody else with it.
    fd = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0))
  } catch (error) {
    if (noFile.has(errorCode(error))) return null
    throw error
  }
  try {
    // Nearly every record is shorter, and asking for the size first would be another call to the system.
    const count = fs.readSync(fd, page, 0, page.length, 0)
    // Its last byte says whether it is whole; what is longer, or no record of this store, is looked at more closely.
    const isWhole = count < page.length && page[count - 1] === endOfObject
    return isWhole ? page.toString('utf8', 0, count) : readOther(fd, path)
  } catch (error) {
    if (noFile.has(errorCode(error))) return null
    throw error
  } finally {
    fs.closeSync(fd)
  }
}

/** What most records are read into. */
const page = Buffer.allocUnsafeSlow(4096)

const endOfObject = '}'.charCodeAt(0)

function readOther(fd: number, path: string): string | null {
  const stats = fs.fstatSync(fd)
  if (!stats.isFile() || stats.size === 0) return null
  if (stats.size > maxRecordBytes) throw corrupt(path, `it has ${stats.size} bytes`)
  const bytes = Buffer.allocUnsafe(stats.size)
  let done = 0
  for (let count = -1; count !== 0 && done < bytes.length; done += count) {
    count = fs.readSync(fd, bytes, done, bytes.length - done, done)
  }
  return bytes.toString('utf8', 0, done)
}

/** What the system says of links in a circle, sockets, folders and pipes. */
const noFile: ReadonlySet<string> = new Set(['ELOOP', 'ENXIO', 'EISDIR', 'ESPIPE'])

/**
 * Reads a record, with an offset of 0: the data file tells the real one.
 * @param path Named in the errors.
 * @throws StoreError with code `corrupt` that says what is wrong.
 */
export function parseRecord(text: string, path: string): FileUpload {
  const record = object(text, path)
  const get = <T>(field: Field, check: (value: unknown) => value is T): T => {
    const value = record[field]
    if (!check(value)) throw corrupt(path, `${field} is ${brief(value)}`)
    return value
  }
  const found = record['fileloft']
  if (found !== version) throw corrupt(path, `the format version is ${brief(found)}, not ${version}`)
  const unknown = Object.keys(record).find((key) => !fields.has(key))
  if (unknown !== undefined) throw corrupt(path, `unknown field ${brief(unknown)}`)
  const upload = {
    id: get('id', isString),
    length: get('length', isCountOrNull),
    offset: 0,
    metadata: get('metadata', isStringOrNull),
    concat: get('concat', isConcat),
    attributes: get('attributes', isAttributes),
    createdAt: get('createdAt', isCount),
    expiresAt: get('expiresAt', isCountOrNull),
    completed: get('completed', isBit) === 1,
    joined: get('joined', isBoolean),
    unverifiedFrom: get('unverifiedFrom', isCountOrNull),
  }
  if (upload.completed && upload.length === null) throw corrupt(path, 'completed without a length')
  if (upload.completed && upload.unverifiedFrom !== null) throw corrupt(path, 'completed with unverified bytes')
  if (upload.joined && (upload.length === null || upload.concat?.type !== 'final')) {
    throw corrupt(path, 'joined, but not a final upload with a length')
  }
  return upload
}

const version = 1

/** How the text of a record begins while the upload is not completed; its last digit is `completed`. */
export const incompletePrefix = `{"fileloft":${version},"completed":0`

const names = [
  'fileloft',
  'completed',
  'id',
  'length',
  'metadata',
  'concat',
  'attributes',
  'createdAt',
  'expiresAt',
  'joined',
  'unverifiedFrom',
] as const
type Field = (typeof names)[number]
const fields: ReadonlySet<string> = new Set(names)

function object(text: string, path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw corrupt(path, 'it is not JSON', cause)
  }
  if (!isObject(value)) throw corrupt(path, `it is ${brief(value)}, not an object`)
  return value
}

function corrupt(path: string, what: string, cause?: unknown): StoreError {
  return new StoreError('corrupt', `The record ${path} cannot be used: ${what}`, { cause })
}

function isBit(value: unknown): value is 0 | 1 {
  return value === 0 || value === 1
}
