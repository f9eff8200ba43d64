/** Signed tokens: JSON Web Signatures in compact form with HMAC-SHA-256 (RFC 7515), by WebCrypto. */

/** Marks what is signed here, so that no other token of the same secret is taken for it (RFC 8725, 3.11). */
const type = 'upload-grant+jwt'

/** More is not worth looking at. */
const maxLength = 8192

/** Bytes of a secret: as many as the hash has, or guessing the secret is easier than guessing signatures. */
export const minSecretLength = 32

export interface Keys {
  /** With the first secret. */
  sign(payload: object): Promise<string>
  /** What was signed, or null when none of the secrets has signed it. Takes the same time for every wrong signature. */
  verify(token: string): Promise<unknown>
}

interface Key {
  readonly id: string
  readonly key: CryptoKey
}

/**
 * Several secrets are for changing one: put the new one first, and take the old one out when its last URL has expired.
 * @throws TypeError when there is none, or one is too short.
 */
export function createKeys(secret: string | readonly string[]): Keys {
  const secrets = [secret].flat()
  if (secrets.length === 0) throw new TypeError('There is no secret to sign URLs with')
  for (const each of secrets) {
    if (typeof each !== 'string' || utf8(each).length < minSecretLength) {
      throw new TypeError(`A secret that signs URLs must have at least ${minSecretLength} bytes`)
    }
  }
  let made: Promise<Key[]> | undefined
  const keys = () => (made ??= Promise.all(secrets.map(importKey)))

  return {
    async sign(payload) {
      const [first] = await keys()
      if (first === undefined) throw new TypeError('There is no secret to sign URLs with')
      const header = { alg: 'HS256', typ: type, kid: first.id }
      const input = `${encodeJson(header)}.${encodeJson(payload)}`
      const signature = await crypto.subtle.sign('HMAC', first.key, utf8(input))
      return `${input}.${encode(new Uint8Array(signature))}`
    },
    async verify(token) {
      const [, header = '', payload = '', signature = ''] =
        (token.length <= maxLength && /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(token)) || []
      const { alg, typ, kid, crit } = (decodeJson(header) ?? {}) as Record<string, unknown>
      if (alg !== 'HS256' || typ !== type || crit !== undefined) return null
      const bytes = decode(signature)
      if (bytes === null) return null
      for (const { id, key } of await keys()) {
        if (kid !== undefined && kid !== id) continue
        if (await crypto.subtle.verify('HMAC', key, bytes, utf8(`${header}.${payload}`))) return decodeJson(payload)
      }
      return null
    },
  }
}

/** The key's id is made of its secret: whoever signs and whoever verifies know it without having to agree on it. */
async function importKey(secret: string): Promise<Key> {
  const hash = await crypto.subtle.digest('SHA-256', utf8(`fileloft upload grant key ${secret}`))
  const algorithm = { name: 'HMAC', hash: 'SHA-256' }
  const key = await crypto.subtle.importKey('raw', utf8(secret), algorithm, false, ['sign', 'verify'])
  return { id: encode(new Uint8Array(hash)).slice(0, 8), key }
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

function encodeJson(value: object): string {
  return encode(utf8(JSON.stringify(value)))
}

/** Null where it is no JSON. */
function decodeJson(encoded: string): unknown {
  try {
    const bytes = decode(encoded)
    return bytes === null ? null : (JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown)
  } catch {
    return null
  }
}

/** base64url without padding. */
function encode(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

function decode(encoded: string): Uint8Array<ArrayBuffer> | null {
  try {
    const text = atob(encoded.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(text, (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}
