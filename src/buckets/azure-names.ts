/*
 * Azure takes `a.` for `a`, `./a` for `a` and `a\b` for `a/b`: it drops dots at the end of a segment and turns
 * backslashes around, so that two names could be one blob. Those few characters are stored percent-encoded, as are the
 * percent signs that could then be mistaken for them. Every other name is stored as it is.
 */

/** The name of the blob that stands for a key (its prefix included), and for no other. */
export function blobName(key: string): string {
  return key.replace(/\.(?=\/|$)|\\|%(?=2E|5C|25)/g, percentEncoded)
}

/** The key that a blob's name stands for. */
export function keyOfBlob(name: string): string {
  return name.replace(/%2E(?=\/|$)|%5C|%25(?=2E|5C|25)/g, decodeURIComponent)
}

/** What the names of all blobs start with whose keys start with `prefix`; others may, too. */
export function blobPrefix(prefix: string): string {
  return blobName(prefix.replace(/(?:\.|%[25]?)+$/, ''))
}

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}
