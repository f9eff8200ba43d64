/**
 * The record of an upload, one object `<id>.info`:
 *
 * - a line of JSON with what HEAD tells and where the bytes are;
 * - a line of JSON with the parts, `[[size, etag, number], ...]`, padded with spaces; the number is left out where it
 *   is the one after the part before, or 1;
 * - the tail: bytes behind the last part that are too few for one of their own.
 *
 * The tail lies in the record, not in an object of its own, so that offset, parts and tail change together, with one
 * conditional write. The object's size is odd when the upload is completed, so that a listing tells which are not.
 */
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

/** An upload as a store on object storage hands it out. */
export interface ObjectUpload extends Upload {
  /** Version of the record object that this was read from or written as. */
  readonly version: string
  /** Names this very state of the record, so that a write whose answer was lost is recognised. */
  readonly revision: string
  /** The multipart that the parts belong to. */
  readonly multipartId: string | null
  /** The lowest number that no part has and no append has claimed. */
  readonly nextPart: number
  /** Parts of the multipart that do not count, where the object has to be made of all (surplus.ts). Mostly none. */
  readonly surplus: readonly StoredPart[]
  /** Whether the finished object is there, with all bytes. */
  readonly stored: boolean
  /** Bytes of the tail. */
  readonly tailBytes: number
  /** Where the bytes up to the offset are; null when that was not read along. */
  readonly rest: Rest | null
  /** Whether this was not read for the request but is what this process wrote last (recent.ts). @default false */
  readonly isRecalled?: boolean
}

export interface Rest {
  readonly parts: readonly StoredPart[]
  readonly tail: Uint8Array
}

export interface StoredPart {
  readonly number: number
  readonly size: number
  readonly etag: string
}

export const nothing: Rest = { parts: [], tail: new Uint8Array(0) }

/** Of an upload whose object has just been made, which its record does not say yet. */
export const unrecorded: Rest = { ...nothing }

const version = 1
const newline = 10

export function formatRecord(upload: ObjectUpload, { parts, tail }: Rest): Uint8Array<ArrayBuffer> {
  const head = JSON.stringify({
    fileloft: version,
    revision: upload.revision,
    id: upload.id,
    length: upload.length,
    offset: upload.offset,
    metadata: upload.metadata,
    concat: upload.concat,
    attributes: upload.attributes,
    createdAt: upload.createdAt,
    expiresAt: upload.expiresAt,
    completed: upload.completed,
    multipartId: upload.multipartId,
    nextPart: upload.nextPart,
    stored: upload.stored,
    tailBytes: tail.byteLength,
    ...(upload.surplus.length > 0 && { surplus: upload.surplus.map(formatPart) }),
  } satisfies Record<Exclude<Field, 'surplus'>, unknown>)
  const text = new TextEncoder().encode(`${head}\n${JSON.stringify(parts.map(formatPart))}`)
  const size = text.byteLength + 1 + tail.byteLength
  const padding = isCompletedSize(size) === upload.completed ? 0 : 1
  const bytes = new Uint8Array(size + padding).fill(32, text.byteLength)
  bytes.set(text)
  bytes[text.byteLength + padding] = newline
  bytes.set(tail, text.byteLength + padding + 1)
  return bytes
}

function formatPart({ number, size, etag }: StoredPart, index: number, all: readonly StoredPart[]): unknown[] {
  return number === (all[index - 1]?.number ?? 0) + 1 ? [size, etag] : [size, etag, number]
}

/** Whether a record object of this size is that of a completed upload. */
export function isCompletedSize(size: number): boolean {
  return size % 2 === 1
}

/**
 * Reads a record of which at least the first line must be there, else null: more bytes are needed.
 * @param bytes The record object, or its beginning.
 * @param object Size and version of the whole object.
 * @param key Named in the errors.
 * @throws StoreError with code `corrupt` that says what is wrong.
 */
export function parseRecord(
  bytes: Uint8Array,
  object: { readonly size: number; readonly version: string },
  key: string,
): ObjectUpload | null {
  const isWhole = bytes.byteLength === object.size
  const headEnd = bytes.indexOf(newline)
  if (headEnd < 0) {
    if (isWhole) throw corrupt(key, 'it has no line')
    return null
  }
  const upload = readHead(json(bytes.subarray(0, headEnd), key), object.version, key)
  if (!isWhole) return upload
  const partsEnd = bytes.indexOf(newline, headEnd + 1)
  if (partsEnd < 0) throw corrupt(key, 'it has no line of parts')
  const rest = {
    parts: readParts(json(bytes.subarray(headEnd + 1, partsEnd), key), key),
    tail: bytes.subarray(partsEnd + 1),
  }
  if (rest.tail.byteLength !== upload.tailBytes) {
    throw corrupt(key, `the tail has ${rest.tail.byteLength} bytes of ${upload.tailBytes}`)
  }
  if (!upload.stored && sizeOf(rest) !== upload.offset && !isWaiting(upload)) {
    throw corrupt(key, `its bytes are ${sizeOf(rest)}, its offset is ${upload.offset}`)
  }
  return { ...upload, rest }
}

/** The parts up to the first one that is missing: only those count. */
export function upToGap(parts: readonly (StoredPart | undefined)[]): StoredPart[] {
  const gap = parts.findIndex((part) => part === undefined)
  return parts.slice(0, gap < 0 ? parts.length : gap) as StoredPart[]
}

/** Bytes of parts and tail together. */
export function sizeOf({ parts, tail }: Rest): number {
  return parts.reduce((sum, { size }) => sum + size, tail.byteLength)
}

/** A final upload whose bytes are not put together yet. */
export function isWaiting(upload: ObjectUpload): boolean {
  return upload.concat?.type === 'final' && !upload.stored
}

type Field =
  | 'fileloft'
  | 'revision'
  | 'id'
  | 'length'
  | 'offset'
  | 'metadata'
  | 'concat'
  | 'attributes'
  | 'createdAt'
  | 'expiresAt'
  | 'completed'
  | 'multipartId'
  | 'nextPart'
  | 'stored'
  | 'tailBytes'
  | 'surplus'

function readHead(value: unknown, objectVersion: string, key: string): ObjectUpload {
  if (!isObject(value)) throw corrupt(key, 'its first line is no object')
  const get = <T>(field: Field, check: (value: unknown) => value is T): T => {
    const found = value[field]
    if (!check(found)) throw corrupt(key, `${field} is ${brief(found)}`)
    return found
  }
  if (value['fileloft'] !== version) throw corrupt(key, `the format version is ${brief(value['fileloft'])}`)
  const upload: ObjectUpload = {
    id: get('id', isString),
    length: get('length', isCountOrNull),
    offset: get('offset', isCount),
    metadata: get('metadata', isStringOrNull),
    concat: get('concat', isConcat),
    attributes: get('attributes', isAttributes),
    createdAt: get('createdAt', isCount),
    expiresAt: get('expiresAt', isCountOrNull),
    completed: get('completed', isBoolean),
    version: objectVersion,
    revision: get('revision', isString),
    multipartId: get('multipartId', isStringOrNull),
    nextPart: get('nextPart', isCount),
    stored: get('stored', isBoolean),
    tailBytes: get('tailBytes', isCount),
    surplus: readParts(value['surplus'] ?? [], key),
    rest: null,
  }
  if (upload.length !== null && upload.offset > upload.length) throw corrupt(key, 'the offset is past the length')
  if (upload.completed && !upload.stored) throw corrupt(key, 'completed, but not stored')
  if (upload.stored && upload.offset !== upload.length) throw corrupt(key, 'stored, but not whole')
  return upload
}

function readParts(value: unknown, key: string): StoredPart[] {
  if (!Array.isArray(value)) throw corrupt(key, 'its parts are no list')
  let last = 0
  return value.map((part: unknown) => {
    const [size, etag, number = last + 1] = Array.isArray(part) ? (part as unknown[]) : []
    if (!isCount(size) || !isString(etag) || !isCount(number) || number <= last) {
      throw corrupt(key, `a part is ${brief(part)}`)
    }
    last = number
    return { number, size, etag }
  })
}

function json(bytes: Uint8Array, key: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw corrupt(key, 'it is not JSON', cause)
  }
}

function corrupt(key: string, what: string, cause?: unknown): StoreError {
  return new StoreError('corrupt', `The record ${key} cannot be used: ${what}`, { cause })
}
