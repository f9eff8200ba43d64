import { StoreError } from '../errors.ts'

/*
 * Azure knows no multipart uploads, only blocks that wait at a blob's name to be committed. So an id is made here, and
 * each block carries it in its own: when the multipart began, twelve random digits, the part number, and ten random
 * digits more, so that a part sent twice is two blocks and nobody overwrites the block of somebody else. All have the
 * same width, as Azure demands of the blocks of one blob, and need no padding in base64.
 */
const multipartId = /^[0-9a-z]{9}[0-9a-f]{12}$/
const block = /^([0-9a-z]{9}[0-9a-f]{12})\d{5}[0-9a-f]{10}$/

export function newMultipartId(): string {
  return Date.now().toString(36).padStart(9, '0') + randomDigits(12)
}

/** When that multipart was begun, in milliseconds. */
export function createdAt(id: string): number {
  return parseInt(id.slice(0, 9), 36)
}

/** A name for a block, not used before, in base64 as the service wants it. */
export function newBlockId(id: string, partNumber: number): string {
  if (!multipartId.test(id)) {
    throw new StoreError('corrupt', `${JSON.stringify(id)} does not name a multipart on Azure: another storage made it`)
  }
  return btoa(id + String(partNumber).padStart(5, '0') + randomDigits(10))
}

/** The multipart that a block belongs to; null for blocks that something else has sent. */
export function multipartOf(blockId: string): string | null {
  try {
    return block.exec(atob(blockId))?.[1] ?? null
  } catch {
    return null
  }
}

function randomDigits(count: number): string {
  return crypto.randomUUID().replaceAll('-', '').slice(-count)
}
