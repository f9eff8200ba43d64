import { StoreError } from '../errors.ts'

/** Status of the answer; 0 when there was none. */
export function statusOf(error: unknown): number {
  return property(error, 'statusCode') || 0
}

/** What the service calls the failure (`BlobNotFound`), or the system (`ECONNRESET`), or an empty string. */
export function codeOf(error: unknown): string {
  return header(error, 'x-ms-error-code') ?? property<string>(error, 'code') ?? ''
}

/**
 * What the layers above are told about a call that failed.
 *
 * @param doing The bucket and the call, for the message.
 */
export function toStoreError(error: unknown, doing: string, signal: AbortSignal): StoreError {
  if (error instanceof StoreError) return error
  const status = statusOf(error)
  const code = codeOf(error)
  const name = error instanceof Error ? error.name : ''
  if (signal.aborted || name === 'AbortError') {
    const reason = signal.aborted ? 'ended early' : 'the connection broke off'
    return new StoreError('unavailable', `${doing}: ${reason}`, { cause: error, transient: true })
  }
  const full = status === 507 || /Quota|AccountLimit|InsufficientStorage/.test(code)
  const what = [status === 0 ? '' : String(status), code].filter((part) => part !== '').join(' ') || name || 'failed'
  return new StoreError(full ? 'full' : 'unavailable', `${doing}: ${what}: ${explain(error, status, code)}`, {
    cause: error,
    transient: !full && isTransient(error, status, code),
  })
}

function isTransient(error: unknown, status: number, code: string): boolean {
  const reason = header(error, 'x-ms-copy-source-error-code') ?? code
  if (/^(ServerBusy|InternalError|OperationTimedOut|Lease(IdMissing|AlreadyPresent|Lost))$/.test(reason)) return true
  // Somebody has broken our lease.
  if (/^Lease(NotPresent|IdMismatch)With(Blob|Lease)Operation$/.test(reason)) return true
  if (status >= 400) return [408, 429, 500, 502, 503, 504].includes(status)
  // No answer, or half of one: the connection failed. What certificates and TLS settings do not allow stays that way.
  const broke = error instanceof Error && (error.name === 'RestError' || /received less data/.test(error.message))
  return broke && !/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO|ERR_INVALID/.test(code)
}

const explanations: Readonly<Record<string, string>> = {
  ContainerNotFound: 'the container does not exist: create it, or correct its name',
  ContainerBeingDeleted: 'the container is being deleted',
  ResourceNotFound: 'the container does not exist, or is not to be seen without credentials',
  AuthenticationFailed: 'the account key, SAS or token is wrong or has expired',
  InvalidAuthenticationInfo: 'the credentials are not of a kind that the account accepts',
  NoAuthenticationInformation: 'credentials are missing',
  PublicAccessNotPermitted: 'credentials are missing',
  KeyBasedAuthenticationNotPermitted: 'the account is closed to keys and SAS: use an identity',
  AuthorizationFailure:
    'the key or SAS is wrong or lacks a permission, or the network rules of the account keep this machine out',
  AuthorizationPermissionMismatch:
    'a permission is missing: an identity needs the role Storage Blob Data Contributor, a SAS needs rcwdl',
  AuthorizationProtocolMismatch: 'the SAS is for https only',
  InsufficientAccountPermissions: 'a permission is missing',
  AccountIsDisabled: 'the storage account is disabled',
  InvalidBlobType: 'there is an append or page blob with that name: remove it',
  InvalidBlobOrBlock: 'other software has left blocks at that name: remove them',
  BlobImmutableDueToPolicy: 'an immutability policy forbids to replace or remove it',
  BlobArchived: 'the blob has been archived: a lifecycle rule of the account may do that',
  LeaseIdMissing: 'somebody holds a lease on it',
  LeaseAlreadyPresent: 'somebody holds a lease on it',
  ENOTFOUND: 'there is no such host: correct the account or endpoint',
  ECONNREFUSED: 'nothing listens there: correct the endpoint',
}

/** One line, without what a request or its credentials hold: the service repeats signatures in its messages. */
function explain(error: unknown, status: number, code: string): string {
  if ((status === 401 || status === 403) && code !== 'AuthorizationPermissionMismatch') {
    const minutes = Math.round((Date.now() - Date.parse(header(error, 'date') ?? '')) / 60_000)
    if (Math.abs(minutes) >= 5) {
      return `the clock of this machine is ${Math.abs(minutes)} minutes ${minutes > 0 ? 'ahead' : 'behind'}: set it`
    }
  }
  const known = explanations[code]
  if (known !== undefined) return known
  const name = error instanceof Error ? error.name : ''
  if (/Credential|Authentication/.test(name)) return 'the credential gave no token'
  if (status === 401 || status === 403) return 'the credentials are wrong or lack a permission'
  if (status === 400 && property<Error>(error, 'message')?.toString().includes('service version') === true) {
    return 'the server does not know this version of the protocol (Azurite: --skipApiVersionCheck)'
  }
  if (status !== 0)
    return status >= 500 || status === 429 ? 'the service is not able to at present' : 'the service refused'
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
}

function property<T = number>(error: unknown, name: string): T | undefined {
  return typeof error === 'object' && error !== null ? (Reflect.get(error, name) as T | undefined) : undefined
}

function header(error: unknown, name: string): string | undefined {
  const headers = property<{ headers?: { get?: (name: string) => string | undefined } }>(error, 'response')?.headers
  return headers?.get?.(name)
}
