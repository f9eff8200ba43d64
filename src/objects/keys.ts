import { isValidId } from '../id.ts'

/** Names of the objects that belong to an upload, without the driver's own prefix. */
export interface Keys {
  /** The finished object. */
  readonly data: (id: string) => string
  /** Its record. */
  readonly record: (id: string) => string
  /** What all records start with. */
  readonly records: string
  /** The id whose record this key is, or null. */
  readonly idOf: (key: string) => string | null
  /** What the markers of a partial upload start with, and the one for a final that waits for it. */
  readonly markers: (partialId: string) => Promise<string>
  readonly marker: (partialId: string, finalId: string) => Promise<string>
}

const suffix = '.info'

/** @param infoPrefix Goes before the keys of records and markers. */
export function objectKeys(infoPrefix: string): Keys {
  const markers = async (partialId: string) => `${infoPrefix}.finals/${await shortName(partialId)}/`
  return {
    data: (id) => id,
    record: (id) => `${infoPrefix}${id}${suffix}`,
    records: infoPrefix,
    idOf(key) {
      if (!key.startsWith(infoPrefix) || !key.endsWith(suffix)) return null
      const id = key.slice(infoPrefix.length, -suffix.length)
      return isStorable(id) ? id : null
    },
    markers,
    marker: async (partialId, finalId) => (await markers(partialId)) + (await shortName(finalId)),
  }
}

/**
 * Whether objects can be named after the id: it is valid, is not like the record of another upload, and leaves room in
 * the 1,024 bytes that keys have.
 */
export function isStorable(id: string): boolean {
  return plain.test(id) || (isValidId(id) && !/\.info$/i.test(id) && new TextEncoder().encode(id).byteLength <= 800)
}

/** What `randomId` makes: it cannot be taken, and no check finds anything in it. */
export const plain = /^[0-9a-f]{32}$/

/** A name without slashes that stands for the id and for no other: percent-encoded, or hashed where that is too long. */
async function shortName(id: string): Promise<string> {
  const encoded = encodeURIComponent(id)
  if (encoded.length <= 180) return encoded
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(id)))
  return `=${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
