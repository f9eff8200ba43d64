import { StoreError } from '../errors.ts'

/** An answer that is no success. */
export class GcsError extends Error {
  override readonly name = 'GcsError'
  readonly status: number
  /** What the service calls it (`notFound`, `conditionNotMet`), or an empty string. */
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

/** @param text Body of the answer: JSON mostly, a line of text from downloads, a page from what stands in between. */
export function answerError(status: number, text: string): GcsError {
  let reason = ''
  let message = text
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string; errors?: { reason?: string }[] } }
    message = error?.message ?? text
    reason = error?.errors?.[0]?.reason ?? ''
  } catch {
    // Then it is the text.
  }
  return new GcsError(status, reason, message.replaceAll(/\s+/g, ' ').trim().slice(0, 300))
}

/** Status of the answer; 0 when there was none. */
export function statusOf(error: unknown): number {
  return error instanceof GcsError ? error.status : 0
}

/** Whether an object is not there, as opposed to the bucket. */
export function isMissingObject(error: unknown): boolean {
  return statusOf(error) === 404 && !isMissingBucket(error)
}

/** Preconditions that do not hold. */
export function isConditionFailure(error: unknown): boolean {
  return statusOf(error) === 412
}

function isMissingBucket(error: unknown): boolean {
  return error instanceof GcsError && error.status === 404 && /bucket\b.*\bdoes not exist/i.test(error.message)
}

/**
 * What the layers above are told about a call that failed.
 *
 * @param doing The bucket and the call, for the message.
 */
export function toStoreError(error: unknown, doing: string, signal: AbortSignal): StoreError {
  if (error instanceof StoreError) return error
  if (signal.aborted) return new StoreError('unavailable', `${doing}: ended early`, { cause: error, transient: true })
  if (error instanceof GcsError) {
    const { status, reason, message } = error
    const full = status === 507 || /^(quotaExceeded|dailyLimitExceeded)$/.test(reason)
    const transient = !full && (passing.has(status) || /^(user)?rateLimitExceeded$/i.test(reason))
    const said = [status, reason, message].filter((part) => part !== '').join(' ')
    const advice = transient || full ? '' : explain(error)
    return new StoreError(full ? 'full' : 'unavailable', `${doing}: ${said}${advice}`, { cause: error, transient })
  }
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  // What the network does passes; what certificates and TLS settings do not allow stays that way.
  const transient = /^(E[A-Z_]+|HPE_\w+)$/.test(code) && !/CERT|TLS|SSL|^ERR_|^EPROTO$/.test(code)
  return new StoreError('unavailable', `${doing}: ${code === '' ? '' : `${code}: `}${message}`, {
    cause: error,
    transient,
  })
}

/** Why there is no access token. The client's own errors carry the request, keys included: they are left behind. */
export function toAuthError(error: unknown, bucketName: string): StoreError {
  const { response } = error as {
    response?: { status?: number; data?: { error?: string; error_description?: string } }
  }
  const status = response?.status ?? 0
  const code = codeOf(error)
  const detail = response?.data?.error_description ?? response?.data?.error
  const said = String(detail ?? (error instanceof Error ? error.message : error))
    .replaceAll(/\s+/g, ' ')
    .slice(0, 300)
  const what = `${bucketName}: no access token: ${said}`
  if (passing.has(status) || /^(E(CONN|HOST|NET|AI_|TIMEDOUT|PIPE)|ENOTFOUND)/.test(code)) {
    return new StoreError('unavailable', what, { transient: true })
  }
  return new StoreError('unavailable', `${what}: ${authAdvice(said, code)}`)
}

function authAdvice(said: string, code: string): string {
  if (/reasonable timeframe|short-lived|iat and exp/i.test(said)) return "set this machine's clock right"
  if (/default credentials/i.test(said)) {
    return 'set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where a service account is attached'
  }
  if (code === 'ENOENT' || code === 'EACCES') return 'the key file cannot be read'
  return 'check the credentials: the key may be revoked, or not be whole'
}

const passing: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

function explain(error: GcsError): string {
  if (isMissingBucket(error)) return ': check the name of the bucket'
  if (/retention|hold/i.test(error.reason)) return ': records have to change, so the bucket must not retain objects'
  if (error.status === 401) return ": the credentials are not accepted; check them, and this machine's clock"
  if (error.status === 403) return ': grant the account roles/storage.objectUser on the bucket'
  return ''
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}
