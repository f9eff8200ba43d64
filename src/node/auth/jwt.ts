import {
  errors,
  type JWSHeaderParameters,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from 'jose'
import type { KeyObject } from 'node:crypto'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { fetchedKeys, KeysUnavailable } from './jwks.ts'
import { algorithms } from './parse.ts'
import { readPublicKey } from './public-key.ts'

/** The claims of a token that is valid, or what is wrong with it, for the client; `unavailable` = we cannot tell now. */
export type Verdict = { readonly claims: JWTPayload } | string

/**
 * Checks JSON Web Tokens as the configuration says; null where it knows no key.
 * @throws Error that says in one line which key cannot be used.
 */
export function createJwtVerifier(config: Config, log: Logger): ((token: string) => Promise<Verdict>) | null {
  const keys = keysOf(config, log)
  if (keys === null) return null
  const { authIssuer, authAudience, authLeeway } = config
  const options: JWTVerifyOptions = {
    algorithms: [...keys.algorithms],
    clockTolerance: authLeeway,
    // One that is valid for ever could never be taken back.
    requiredClaims: ['exp'],
    ...(authIssuer !== undefined && { issuer: authIssuer }),
    ...(authAudience !== undefined && { audience: authAudience }),
  }
  return async (token) => {
    try {
      return { claims: await verify(token, keys.get, options) }
    } catch (error) {
      if (error instanceof KeysUnavailable) return 'unavailable'
      if (error instanceof errors.JOSEError) return problemOf(error)
      throw error
    }
  }
}

async function verify(token: string, get: JWTVerifyGetKey, options: JWTVerifyOptions): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, get, options)).payload
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    // A token that names no key, where several could be meant.
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

interface Keys {
  readonly algorithms: readonly string[]
  readonly get: JWTVerifyGetKey
}

function keysOf(config: Config, log: Logger): Keys | null {
  const { authJwksUrl, authJwtSecret, authJwtPublicKey, authAlgorithms } = config
  if (authJwksUrl !== undefined) {
    const all = [...algorithms.rsa, ...algorithms.ec, ...algorithms.ed25519]
    const { authJwksMaxAge, authJwksCooldown } = config
    const ages = { maxAgeMs: authJwksMaxAge * 1000, cooldownMs: authJwksCooldown * 1000 }
    return { algorithms: authAlgorithms ?? all, get: fetchedKeys(new URL(authJwksUrl), { ...ages, log }) }
  }
  if (authJwtSecret !== undefined) {
    const secret = new TextEncoder().encode(authJwtSecret)
    return { algorithms: authAlgorithms ?? ['HS256'], get: () => secret }
  }
  if (authJwtPublicKey === undefined) return null
  const { key, algorithms: able } = readPublicKey(authJwtPublicKey)
  const unable = authAlgorithms?.filter((name) => !able.includes(name)) ?? []
  if (unable.length > 0) {
    throw new Error(`FILELOFT_AUTH_JWT_PUBLIC_KEY is a key for ${able.join(', ')}, not for ${unable.join(', ')}`)
  }
  const get = (_header: JWSHeaderParameters): KeyObject => key
  return { algorithms: authAlgorithms ?? able, get }
}

function problemOf(error: errors.JOSEError): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired'
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error
    if (claim === 'nbf') return 'The token is not valid yet'
    if (claim === 'iss') return 'The token is from another issuer'
    if (claim === 'aud') return 'The token is for another audience'
    if (claim === 'exp' && reason === 'missing') return 'The token has no end'
  }
  return 'The token is not valid'
}
