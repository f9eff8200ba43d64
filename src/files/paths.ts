import { createHash } from 'node:crypto'
import { resolve, sep } from 'node:path'
import { isValidId } from '../id.ts'

/** Where an upload lies. */
export interface Place {
  /** Its bytes. */
  readonly data: string
  /** Its record. */
  readonly info: string
}

export const infoSuffix = '.info'

/**
 * The files of an upload below `root`, or `null` when no file can have this name: the id is not valid, a segment ends
 * in `.info` (it would collide with the record of another upload), or it is longer than file names may be.
 */
export function locate(root: string, id: string): Place | null {
  const data = `${root}/${id}`
  if (plain.test(id)) return { data, info: data + infoSuffix }
  if (!isValidId(id) || !id.split('/').every(fits)) return null
  // A valid id has no empty segment and none that starts with a dot; this holds even where that should ever change.
  if (!resolve(data).startsWith(root.endsWith(sep) ? root : root + sep)) return null
  return { data, info: data + infoSuffix }
}

/**
 * A file name that stands for an id, and for no other: percent-encoded, or hashed where that grows too long. Ids
 * cannot start with a dot, so neither can these; `@`, `=` and `/` occur in none but the hashed (a leading `=`).
 */
export function fileName(id: string): string {
  if (plain.test(id)) return id
  const encoded = encodeURIComponent(id)
  return encoded.length <= 180 ? encoded : `=${createHash('sha256').update(id).digest('hex')}`
}

/** What `randomId` makes: no check finds anything in it. */
const plain = /^[0-9a-f]{32}$/

function fits(segment: string): boolean {
  return !/\.info$/i.test(segment) && Buffer.byteLength(segment) <= 255 - infoSuffix.length
}
