import { createLocalJWKSet, type createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose'
import type { Logger } from 'pino'

type RemoteKeys = ReturnType<typeof createRemoteJWKSet>

/** The keys that sign tokens cannot be had, so it cannot be told whether one is valid. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable'
}

/** Milliseconds until it is tried again: requests must not wait for a server that is down one after the other. */
const retryMs = 5_000
/** Milliseconds for which keys count that cannot be fetched again: a key that was taken back must not stay for long. */
const staleMs = 60 * 60 * 1000

/**
 * Keys from elsewhere. While they cannot be fetched, those that were fetched last go on to count for an hour; a token
 * that none of them has signed may be good all the same then.
 * @throws KeysUnavailable when it cannot be told.
 */
export function fetchedKeys(remote: RemoteKeys, log: Logger): JWTVerifyGetKey {
  let failedAt = -Infinity
  let fetchedAt = -Infinity

  const fromLast: JWTVerifyGetKey = async (header, token) => {
    const last = remote.jwks()
    if (last === undefined || Date.now() - fetchedAt > staleMs) throw new KeysUnavailable()
    try {
      return await createLocalJWKSet(last)(header, token)
    } catch (error) {
      throw error instanceof errors.JWKSNoMatchingKey ? new KeysUnavailable() : error
    }
  }
  return async (header, token) => {
    if (Date.now() - failedAt < retryMs) return fromLast(header, token)
    try {
      const key = await remote(header, token)
      fetchedAt = Date.now()
      return key
    } catch (error) {
      if (isAboutToken(error)) {
        fetchedAt = Date.now()
        throw error
      }
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
