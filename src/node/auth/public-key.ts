import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { algorithms } from './parse.ts'

const curves: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }

/**
 * A public key and what it can check.
 * @param value PEM text, or the path of a file that holds it; a certificate counts as its key.
 * @throws Error that says in one line what is wrong with it.
 */
export function readPublicKey(value: string): { readonly key: KeyObject; readonly algorithms: readonly string[] } {
  const pem = pemOf(value)
  // Node would take its public half, and a secret would lie where none belongs.
  if (pem.includes('PRIVATE KEY'))
    throw new Error('FILELOFT_AUTH_JWT_PUBLIC_KEY is a private key; the public one is needed')
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (error) {
    throw new Error(`FILELOFT_AUTH_JWT_PUBLIC_KEY holds no public key in PEM: ${messageOf(error)}`, { cause: error })
  }
  const able = algorithmsOf(key)
  if (able.length === 0) {
    throw new Error('FILELOFT_AUTH_JWT_PUBLIC_KEY must be RSA with at least 2048 bits, P-256, P-384, P-521 or Ed25519')
  }
  return { key, algorithms: able }
}

function pemOf(value: string): string {
  // Files of variables hold one line for each.
  if (value.includes('-----BEGIN')) return value.replaceAll('\\n', '\n')
  try {
    return readFileSync(value, 'utf8')
  } catch (error) {
    throw new Error(`FILELOFT_AUTH_JWT_PUBLIC_KEY cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): readonly string[] {
  if (type === 'rsa') return (details?.modulusLength ?? 0) >= 2048 ? algorithms.rsa : []
  if (type === 'ed25519') return algorithms.ed25519
  const curve = type === 'ec' ? curves[details?.namedCurve ?? ''] : undefined
  return curve === undefined ? [] : [curve]
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
