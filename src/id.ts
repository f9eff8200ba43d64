/**
 * The one check for ids, at every door: URLs, Upload-Concat, `generateId`, stores and lockers.
 *
 * An id is one or more segments joined by `/`. Segments hold letters, digits and a few harmless signs of any script
 * in normal form C; none starts with a dot, so neither `..` nor a store's own hidden folders can be named.
 */

const segment = /^(?![. ])[\p{L}\p{N}\p{M} !$&'()+,;=@._~-]{1,200}(?<![ ])$/u

/** Longest id in UTF-16 units. */
export const maxIdLength = 500

/** Whether `id` may name an upload. */
export function isValidId(id: string): boolean {
  return (
    id.length > 0 &&
    id.length <= maxIdLength &&
    (plain.test(id) || (id.isWellFormed() && id.normalize('NFC') === id && id.split('/').every((s) => segment.test(s))))
  )
}

/** What `randomId` makes, recognised without the slower checks. */
const plain = /^[0-9a-f]{32}$/

/** 128 random bits in hexadecimal: not to be guessed, and safe in every file system and URL. */
export function randomId(): string {
  return crypto.randomUUID().replaceAll('-', '')
}

/** The id as it stands in a URL's path. */
export function encodeId(id: string): string {
  return plain.test(id) ? id : id.split('/').map(encodeURIComponent).join('/')
}

/** The id that a URL's path segment(s) stand for, decoded once, or `null` when that is no valid id. */
export function decodeId(path: string): string | null {
  if (plain.test(path)) return path
  try {
    const id = path.split('/').map(decodeSegment).join('/')
    return isValidId(id) ? id : null
  } catch {
    return null
  }
}

/** `%2F` would turn one segment into two. */
function decodeSegment(encoded: string): string {
  const decoded = decodeURIComponent(encoded)
  if (decoded.includes('/')) throw new URIError('slash inside a segment')
  return decoded
}
