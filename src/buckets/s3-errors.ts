import { StoreError } from '../errors.ts'
import { parseXml, textOf, type XmlElement } from './s3-xml.ts'

/** The operations of S3's API that are used, and the permission each needs. */
export const permissions = {
  GetObject: 's3:GetObject',
  HeadObject: 's3:GetObject',
  PutObject: 's3:PutObject',
  DeleteObject: 's3:DeleteObject',
  ListObjectsV2: 's3:ListBucket',
  CreateMultipartUpload: 's3:PutObject',
  UploadPart: 's3:PutObject',
  UploadPartCopy: 's3:PutObject and s3:GetObject',
  CompleteMultipartUpload: 's3:PutObject',
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
  // Only after a failure; nothing that goes well needs it.
  ListParts: 's3:ListMultipartUploadParts',
} as const

export type S3Action = keyof typeof permissions

/** What an answer says that is no success. */
export interface Refusal {
  /** 200 where a success turned into an error while it was sent. */
  readonly status: number
  /** S3's code; '' where the answer carries none (HEAD, a proxy's own page). */
  readonly code: string
  readonly message: string
  /** The bucket's region, where the answer names it. */
  readonly region: string
  /** The service's clock, in milliseconds since 1970; NaN where it says nothing. */
  readonly time: number
}

/** Where and as whom it was asked. */
export interface Asked {
  /** `s3://bucket/prefix`. */
  readonly name: string
  readonly bucket: string
  readonly region: string
}

export async function readRefusal(response: Response): Promise<Refusal> {
  const document = parseXml(await response.text())
  return refusalOf(response, document?.name === 'Error' ? document.root : {})
}

/** @param error An `Error` element. */
export function refusalOf(response: Response, error: XmlElement): Refusal {
  return {
    status: response.status,
    code: textOf(error, 'Code'),
    message: textOf(error, 'Message'),
    region: response.headers.get('x-amz-bucket-region') ?? textOf(error, 'Region'),
    time: Date.parse(response.headers.get('date') ?? ''),
  }
}

const transientStatus = new Set([408, 425, 429, 500, 502, 503, 504])
const transientCodes = new Set([
  'BandwidthLimitExceeded',
  'ConditionalRequestConflict',
  'IncompleteBody',
  'InternalError',
  'OperationAborted',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestTimeout',
  'ServerBusy',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
])
const fullCodes = /^(QuotaExceeded|XMinioStorageFull|XMinioAdminBucketQuotaExceeded|StorageFull|InsufficientCapacity)$/

/** @param again Whether the same request may go through with other credentials. */
export function refusedError(refusal: Refusal, action: S3Action, asked: Asked, again: boolean): StoreError {
  const { status, code, message } = refusal
  const said = `${asked.name}: ${action} was answered with ${status}${code && ` ${code}`}${message && ` (${message})`}`
  if (status === 507 || fullCodes.test(code)) return new StoreError('full', said)
  const transient = again || transientStatus.has(status) || transientCodes.has(code)
  const hint = transient ? '' : hintFor(refusal, action, asked)
  return new StoreError('unavailable', said + (hint && `: ${hint}`), { transient })
}

/** What to do about it. */
function hintFor({ status, code, region, time }: Refusal, action: S3Action, { name, bucket, ...asked }: Asked): string {
  switch (code) {
    case 'NoSuchBucket':
      return `create the bucket ${bucket}, or name another`
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound':
      return 'the service does not know this access key id: check the credentials (and the endpoint)'
    case 'SignatureDoesNotMatch':
      return 'check the secret access key, and that nothing between changes the host or the path'
    case 'ExpiredToken':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return 'the session token is not valid (any more): get new credentials'
    case 'RequestTimeTooSkewed':
    case 'RequestExpired':
      return `set this machine's clock: it differs from the service's${byHow(time)}`
    case 'EntityTooLarge':
      return 'the service takes only smaller requests: choose a smaller part size'
  }
  if (region !== '' && region !== asked.region) {
    return `the bucket ${bucket} is in the region ${region}, not ${asked.region}: set that region (and its endpoint)`
  }
  if (status === 301 || status === 307 || code === 'PermanentRedirect') {
    return 'the bucket is served elsewhere: check the endpoint and the region'
  }
  if (status === 501 && action === 'PutObject') {
    return 'the service knows no conditional writes: use another one, or set allowUnfenced'
  }
  if (status === 401 || status === 403) {
    const missing =
      action === 'GetObject' || action === 'HeadObject'
        ? ', and s3:ListBucket on the bucket, without which an object that is not there looks forbidden'
        : ''
    return `allow ${permissions[action]} below ${name}${missing}`
  }
  if (code === '' && status >= 400) return 'this answer is not of an S3 service: check the endpoint'
  return ''
}

function byHow(time: number): string {
  const seconds = Math.round(Math.abs(Date.now() - time) / 1000)
  if (Number.isNaN(seconds)) return ''
  return seconds < 120 ? ` by ${seconds} seconds` : ` by ${Math.round(seconds / 60)} minutes`
}

/** What `fetch` or reading a body was rejected with. */
export function brokenError(cause: unknown, action: S3Action, name: string, signal: AbortSignal): StoreError {
  if (cause instanceof StoreError) return cause
  if (signal.aborted) return new StoreError('unavailable', `${name}: ${action} was aborted`, { cause, transient: true })
  const reasons: string[] = []
  for (let error: unknown = cause; error instanceof Error && reasons.length < 4; error = error.cause) {
    const code = 'code' in error && typeof error.code === 'string' ? `${error.code} ` : ''
    reasons.push(code + error.message)
  }
  const reason = reasons.join(': ') || String(cause)
  // A certificate that is not trusted stays so.
  const transient = !/CERT|ERR_TLS|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_SSL|EPROTO|ERR_INVALID|Invalid URL/.test(reason)
  return new StoreError('unavailable', `${name}: ${action} failed: ${reason}`, { cause, transient })
}
