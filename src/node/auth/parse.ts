/** What the settings of authorization may be. Each function returns null for what it may not. */
import { minSecretLength } from '../../grants/jws.ts'

/** Signature algorithms of JSON Web Tokens by the kind of key that they need. */
export const algorithms = {
  secret: ['HS256', 'HS384', 'HS512'],
  rsa: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ec: ['ES256', 'ES384', 'ES512'],
  ed25519: ['EdDSA', 'Ed25519'],
} as const satisfies Record<string, readonly string[]>

/** As RFC 6750 writes bearer tokens, and long enough not to be guessed. */
export function parseTokens(text: string): string[] | null {
  return listOf(text, (token) => /^[\w\-.~+/]{16,}=*$/.test(token))
}

/** Secrets are text of any kind but spaces and commas. */
export function parseUrlSecrets(text: string): string[] | null {
  return listOf(text, (secret) => !/\s/.test(secret) && Buffer.byteLength(secret) >= minSecretLength)
}

/** `none` is not among those that there are. */
export function parseAlgorithms(text: string): string[] | null {
  const known: readonly string[] = Object.values(algorithms).flat()
  return listOf(text, (name) => known.includes(name))
}

/** A fragment or a password would not be sent, or be sent where it is logged. */
export function parseKeyUrl(text: string): string | null {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return null
  return url.username === '' && url.password === '' && url.hash === '' ? url.href : null
}

function listOf(text: string, isValid: (item: string) => boolean): string[] | null {
  const items = text.split(',').map((item) => item.trim())
  return items.every(isValid) ? items : null
}
