/** What a signed URL allows, as a token says it: the claims of a JSON Web Token (RFC 7519). */
import { isAttributes, isCount, isObject, isString } from '../fields.ts'
import type { Operation } from '../hooks.ts'
import { isValidId } from '../id.ts'

/** What a signed URL can allow. */
export type GrantedOperation = Extract<Operation, 'create' | 'inspect' | 'append' | 'download' | 'terminate'>

/** All there are. */
export const grantedOperations: readonly GrantedOperation[] = ['create', 'inspect', 'append', 'download', 'terminate']

/** What a signed URL allows: making one upload and using it, or using one that exists. */
export interface Grant {
  /** The one upload it is about, which need not exist yet. */
  readonly uploadId: string
  /** What may be done. */
  readonly operations: readonly GrantedOperation[]
  /** Milliseconds since the epoch after which it allows nothing. */
  readonly expiresAt: number
  /** Of a creation, milliseconds since the epoch after which it must have begun; null where it only uses an upload. */
  readonly createBefore: number | null
  /** Tells a creation's grant from all others; null where it only uses an upload. */
  readonly creationId: string | null
  /** Bytes that the upload may have; null = what the server allows. */
  readonly maxSize: number | null
  /** Values of the `filetype` metadata, such as `image/png` or `image/*`; null = any. */
  readonly types: readonly string[] | null
  /** Metadata that the upload gets, whatever the client says. */
  readonly metadata: Readonly<Record<string, string>>
  /** All claims of the token, those of the application among them. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** Names of claims that mean something here. */
const reserved = ['exp', 'jti', 'upload', 'operations', 'create_before', 'max_size', 'types', 'metadata']

/**
 * The claims of a grant. Times are seconds, as in every JSON Web Token.
 * @throws TypeError when they allow nothing that makes sense.
 */
export function toClaims(grant: Grant): Record<string, unknown> {
  for (const name of Object.keys(grant.claims)) {
    if (reserved.includes(name)) throw new TypeError(`A signed URL cannot have a claim ${name} of yours`)
  }
  const claims = {
    ...grant.claims,
    exp: Math.floor(grant.expiresAt / 1000),
    upload: grant.uploadId,
    operations: grant.operations,
    ...(grant.createBefore !== null && { create_before: Math.floor(grant.createBefore / 1000) }),
    ...(grant.creationId !== null && { jti: grant.creationId }),
    ...(grant.maxSize !== null && { max_size: grant.maxSize }),
    ...(grant.types !== null && { types: grant.types }),
    ...(Object.keys(grant.metadata).length > 0 && { metadata: grant.metadata }),
  }
  const problem = problemOf(claims)
  if (problem !== null) throw new TypeError(`A signed URL cannot be made: ${problem}`)
  return claims
}

/** The grant that claims stand for, or null when they are none. */
export function fromClaims(claims: unknown): Grant | null {
  if (!isObject(claims) || problemOf(claims) !== null) return null
  const { exp, jti, upload, operations, create_before: createBefore, max_size: maxSize, types, metadata } = claims
  return {
    uploadId: upload as string,
    operations: operations as GrantedOperation[],
    expiresAt: Number(exp) * 1000,
    createBefore: createBefore === undefined ? null : Number(createBefore) * 1000,
    creationId: (jti as string | undefined) ?? null,
    maxSize: (maxSize as number | undefined) ?? null,
    types: (types as string[] | undefined) ?? null,
    metadata: (metadata as Record<string, string> | undefined) ?? {},
    claims,
  }
}

const typePattern = /^[\w.+-]+\/(?:\*|[\w.+-]+)$/
const keyPattern = /^[\x21-\x2b\x2d-\x7e]+$/

function problemOf(claims: Record<string, unknown>): string | null {
  const { exp, jti, upload, operations, create_before: createBefore, max_size: maxSize, types, metadata } = claims
  if (!isTime(exp)) return 'exp must be a time in seconds'
  if (!isString(upload) || !isValidId(upload)) return 'upload must be a valid id'
  const known = (each: unknown) => grantedOperations.some((operation) => operation === each)
  if (!Array.isArray(operations) || operations.length === 0 || !operations.every(known)) {
    return `operations must be some of ${grantedOperations.join(', ')}`
  }
  const creates = operations.includes('create')
  if (creates !== isTime(createBefore)) return 'create_before must be a time in seconds, with the operation create'
  if (creates !== (isString(jti) && jti !== '')) return 'jti must be a text of its own, with the operation create'
  if (maxSize !== undefined && !isCount(maxSize)) return 'max_size must be a number of bytes'
  const isType = (each: unknown) => isString(each) && typePattern.test(each)
  if (types !== undefined && !(Array.isArray(types) && types.length > 0 && types.every(isType))) {
    return 'types must be media types such as image/png or image/*'
  }
  const isMetadata = metadata === undefined || (isAttributes(metadata) && Object.keys(metadata).every(isKey))
  if (!isMetadata) return 'metadata must be texts by name, the names plain ASCII without spaces and commas'
  if (!creates && [maxSize, types, metadata].some((each) => each !== undefined)) {
    return 'max_size, types and metadata go with the operation create only'
  }
  return null
}

function isKey(name: string): boolean {
  return keyPattern.test(name)
}

/** Seconds since the epoch. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= 8.64e12
}
