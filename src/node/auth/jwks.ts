import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  jwksCache,
  type JWKSCacheInput,
  type JWTVerifyGetKey,
} from 'jose'
import type { Logger } from 'pino'

/** The keys that sign tokens cannot be had, so it cannot be told whether one is valid. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable'
}

/** Milliseconds until it is tried again: requests must not wait for a server that is down one after the other. */
const retryMs = 5_000
/** Milliseconds for which keys count, from when they were fetched: one that was taken back must not stay for long. */
const staleMs = 60 * 60 * 1000

interface KeysOptions {
  /** Milliseconds after which they are fetched again. */
  readonly maxAgeMs: number
  /** Milliseconds for which a token with an unknown key does not have them fetched again. */
  readonly cooldownMs: number
  readonly log: Logger
}

/**
 * Keys from elsewhere. While they cannot be fetched, those that were fetched last go on to count until they are an hour
 * old; a token that none of them has signed may be good all the same then.
 * @throws KeysUnavailable when it cannot be told.
 */
export function fetchedKeys(url: URL, { maxAgeMs, cooldownMs, log }: KeysOptions): JWTVerifyGetKey {
  /** jose notes here when it has fetched them. */
  const fetched = {} as JWKSCacheInput
  const remote = createRemoteJWKSet(url, {
    cacheMaxAge: maxAgeMs,
    cooldownDuration: cooldownMs,
    timeoutDuration: 5000,
    [jwksCache]: fetched,
  })
  let failedAt = -Infinity

  const fromLast: JWTVerifyGetKey = async (header, token) => {
    const last = remote.jwks()
    const fetchedAt = 'uat' in fetched ? fetched.uat : -Infinity
    const isStale = !remote.fresh && Date.now() - fetchedAt >= staleMs
    if (last === undefined || isStale) throw new KeysUnavailable()
    try {
      return await createLocalJWKSet(last)(header, token)
    } catch (error) {
      throw error instanceof errors.JWKSNoMatchingKey ? new KeysUnavailable() : error
    }
  }
  return async (header, token) => {
    if (Date.now() - failedAt < retryMs) return fromLast(header, token)
    try {
      return await remote(header, token)
    } catch (error) {
      if (isAboutToken(error)) throw error
      failedAt = Date.now()
      log.error({ err: error }, 'the keys that sign tokens cannot be fetched')
      return fromLast(header, token)
    }
  }
}

/** Whether keys were had, and the token is what is wrong. */
function isAboutToken(error: unknown): boolean {
  const kinds = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported]
  return kinds.some((kind) => error instanceof kind)
}
