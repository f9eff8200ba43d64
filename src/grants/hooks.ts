import { TusError } from '../errors.ts'
import type { Creation, CreateEvent, LimitEvent, RequestEvent, UploadHooks } from '../hooks.ts'
import { parseMetadata } from '../metadata.ts'
import { fromClaims, type Grant, type GrantedOperation } from './grant.ts'
import { createKeys } from './jws.ts'
import { parameter } from './signer.ts'

/** What is known of a request that came by a signed URL, in the `context` of all hooks. */
export interface SignedUrlContext {
  /** What the URL allows; undefined where the request came by a plain one. */
  readonly grant?: Grant
}

/** What `signedUrlHooks` takes. */
export interface SignedUrlOptions {
  /** What `createSigner` signs with. With several, URLs signed with any of them are taken. */
  readonly secret: string | readonly string[]
  /**
   * Whether requests without a signed URL are refused. Where they are not, other hooks decide on them.
   * @default true
   */
  readonly required?: boolean
}

/** The URL's grant, verified. The grant is in the query parameter `grant`. */
export interface Verifier {
  /**
   * Null where the URL has none.
   * @throws TusError 403 when it has one that is not valid, or not any more.
   */
  verify(url: string): Promise<Grant | null>
}

/** Kept with uploads that were created by a signed URL. */
const attributes = { creation: 'grant.creation', maxSize: 'grant.maxSize' } as const

/**
 * Verifies signed URLs, for decisions of your own.
 * @throws TypeError when a secret is too short.
 */
export function createVerifier({ secret }: Pick<SignedUrlOptions, 'secret'>): Verifier {
  const keys = createKeys(secret)
  return {
    async verify(url) {
      const [token, ...more] = new URL(url).searchParams.getAll(parameter)
      if (token === undefined) return null
      const grant = more.length > 0 ? null : fromClaims(await keys.verify(token))
      if (grant === null) throw new TusError('rejected', 'The signed URL is not valid')
      if (grant.expiresAt <= Date.now()) throw new TusError('rejected', 'The signed URL has expired')
      return grant
    },
  }
}

/**
 * Hooks that let in who comes by a signed URL, for what it allows and nothing else.
 *
 * @throws TypeError when a secret is too short.
 * @example createTusHandler({ path: '/files', store, ...signedUrlHooks({ secret }) })
 */
export function signedUrlHooks(
  options: SignedUrlOptions,
): Required<Pick<UploadHooks<SignedUrlContext>, 'onRequest' | 'onAccess' | 'onLimit' | 'onCreate'>> {
  const { required = true } = options
  const verifier = createVerifier(options)
  return {
    async onRequest(event) {
      // What the server can do is no secret, and the URL need not say that it may be asked.
      if (event.operation === 'options') return {}
      const grant = await verifier.verify(event.request.url)
      if (grant === null && required) throw new TusError('rejected', 'A signed URL is needed here')
      if (grant === null) return {}
      checkOperation(grant, event)
      return { grant }
    },
    onAccess({ upload, context }) {
      const { creationId = null } = context?.grant ?? {}
      // Somebody else's upload that happens to have the id.
      if (creationId !== null && upload.attributes[attributes.creation] !== creationId) throw new TusError('not_found')
    },
    onLimit: limitOf,
    onCreate: (event) => creationOf(event),
  }
}

function checkOperation(grant: Grant, { operation, uploadId }: RequestEvent): void {
  if (operation === 'concatenate') throw notAllowed()
  const isAllowed = grant.operations.includes(operation as GrantedOperation)
  if (!isAllowed || (operation !== 'create' && uploadId !== grant.uploadId)) throw notAllowed()
  if (operation === 'create' && (grant.createBefore ?? 0) <= Date.now()) {
    throw new TusError('rejected', 'The signed URL allows no creation any more')
  }
}

/** Before the record has it, the grant tells. */
function limitOf({ upload, context }: LimitEvent<SignedUrlContext>): number | undefined {
  const { creationId = null, uploadId = '' } = context?.grant ?? {}
  // Asked once more when all hooks have had their say: with another id the URL would allow any number of uploads.
  if (creationId !== null && upload.attributes[attributes.creation] === creationId && upload.id !== uploadId) {
    throw new TypeError(`A hook has changed the id that a signed URL fixes, ${uploadId}, to ${upload.id}`)
  }
  const kept = upload.attributes[attributes.maxSize]
  return kept === undefined ? (context?.grant?.maxSize ?? undefined) : Number(kept)
}

function creationOf({ upload, request, context }: CreateEvent<SignedUrlContext>): Creation | undefined {
  const grant = context?.grant
  if (grant === undefined) return undefined
  // Each part would be an upload of its own.
  if (upload.concat !== null) throw notAllowed()
  const metadata = parseMetadata(upload.metadata)
  checkType(grant, { ...metadata, ...grant.metadata }['filetype'] ?? '')
  return {
    id: grant.uploadId,
    ...(Object.keys(grant.metadata).length > 0 && { metadata: { ...metadata, ...grant.metadata } }),
    attributes: {
      [attributes.creation]: grant.creationId ?? '',
      ...(grant.maxSize !== null && { [attributes.maxSize]: String(grant.maxSize) }),
    },
    query: { [parameter]: new URL(request.url).searchParams.get(parameter) ?? '' },
  }
}

function checkType({ types }: Grant, filetype: string): void {
  if (types === null) return
  const [type = ''] = filetype.toLowerCase().split(';', 1)
  const isAllowed = types.some((allowed) => {
    const pattern = allowed.toLowerCase()
    return pattern.endsWith('/*') ? type.trim().startsWith(pattern.slice(0, -1)) : type.trim() === pattern
  })
  if (isAllowed) return
  throw new TusError('rejected', `The filetype in Upload-Metadata must be ${types.join(' or ')}`, { status: 415 })
}

function notAllowed(): TusError {
  return new TusError('rejected', 'The signed URL does not allow this')
}
