import { StoreError } from '../errors.ts'
import type { S3Credentials } from '../stores/s3.ts'

export interface CredentialSource {
  get(): Promise<S3Credentials>
  /** These were refused. Whether the next `get` may bring others. */
  refused(credentials: S3Credentials): boolean
}

/** Asks a provider again this long before what it gave expires. */
const early = 5 * 60_000
/** But not at every request, where what it gives lives shorter than that. */
const pause = 10_000

/** @param name Of the bucket, for messages. */
export function credentialSource(
  credentials: S3Credentials | (() => Promise<S3Credentials>),
  name: string,
): CredentialSource {
  if (typeof credentials !== 'function') {
    return { get: () => Promise.resolve(credentials), refused: () => false }
  }
  const provider = credentials
  let current: S3Credentials | null = null
  let staleAt = 0
  let pending: Promise<S3Credentials> | null = null

  async function ask(): Promise<S3Credentials> {
    try {
      const given = await provider()
      if (typeof given.accessKeyId !== 'string' || typeof given.secretAccessKey !== 'string') {
        throw new TypeError('the provider returned no accessKeyId and secretAccessKey')
      }
      current = given
      staleAt = given.expiration ? Math.max(given.expiration.getTime() - early, Date.now() + pause) : Infinity
      return given
    } catch (cause) {
      if (current?.expiration && current.expiration.getTime() > Date.now()) {
        staleAt = Date.now() + pause
        return current
      }
      const reason = cause instanceof Error ? cause.message : String(cause)
      // The AWS chain's own error, when none of its sources has any: trying again finds nothing either.
      const transient = !(cause instanceof Error && cause.name === 'CredentialsProviderError')
      throw new StoreError('unavailable', `${name}: no credentials: ${reason}`, { cause, transient })
    } finally {
      pending = null
    }
  }

  return {
    get() {
      if (current !== null && Date.now() < staleAt) return Promise.resolve(current)
      return (pending ??= ask())
    },
    refused(former) {
      if (former === current) current = null
      return current !== former
    },
  }
}
