import { encodeId, randomId } from '../id.ts'
import { type Grant, type GrantedOperation, toClaims } from './grant.ts'
import { createKeys } from './jws.ts'

/** Name of the query parameter that carries a grant. */
export const parameter = 'grant'

/** What `createSigner` takes. */
export interface SignerOptions {
  /**
   * What the server knows, too (`FILELOFT_AUTH_URL_SECRET`, or `signedUrlHooks`): at least 32 bytes that nobody can
   * guess, such as `openssl rand -base64 32` prints. Of several the first one signs.
   */
  readonly secret: string | readonly string[]
  /** Public URL of the endpoint, such as `https://uploads.example.com/files`. */
  readonly url: string
}

/** What a URL allows that creates an upload. */
export interface CreationOptions {
  /** Bytes that the upload may have, also where its length is told later. @default what the server allows */
  readonly maxSize?: number
  /** What the `filetype` in the upload's metadata may be, such as `['image/*', 'application/pdf']`. @default any */
  readonly types?: readonly string[]
  /** Metadata that the upload gets, over what the client says. @default none */
  readonly metadata?: Readonly<Record<string, string>>
  /** Claims of your own, for hooks and webhooks: `{ sub: 'user-7' }`. The client can read them. @default none */
  readonly claims?: Readonly<Record<string, unknown>>
  /** Id of the upload, as `generateId` may return one. @default 128 random bits in hexadecimal */
  readonly id?: string
  /** What may be done with the upload after its creation. @default ['inspect', 'append'] */
  readonly operations?: readonly Exclude<GrantedOperation, 'create'>[]
  /** Seconds until the upload must have been created. @default 3600 */
  readonly createWithinSeconds?: number
  /** Seconds until nothing is allowed any more, the last byte included. @default 86_400 */
  readonly expiresInSeconds?: number
}

/** What the URL of an upload allows. */
export interface UploadUrlOptions {
  /** What may be done with the upload. @default ['inspect', 'append'] */
  readonly operations?: readonly Exclude<GrantedOperation, 'create'>[]
  /** Seconds until nothing is allowed any more. @default 86_400 */
  readonly expiresInSeconds?: number
  /** As for a creation. @default none */
  readonly claims?: Readonly<Record<string, unknown>>
}

/** What a client needs to create an upload and to find it again. */
export interface SignedCreation {
  /** Where the client creates its upload: tus-js-client's `endpoint`. */
  readonly url: string
  /**
   * Where that upload will be: tus-js-client's `uploadUrl`. Given both, a client asks there first, and so finds what it
   * has created even if it never got the answer.
   */
  readonly uploadUrl: string
  /** Names that upload. */
  readonly uploadId: string
}

/** Makes URLs that need no other credential. Whoever has one can do what it says: hand it to one client, over TLS. */
export interface Signer {
  /**
   * A URL that allows to create one upload and then to use it.
   * @throws TypeError when the options make no sense.
   */
  signCreation(options?: CreationOptions): Promise<SignedCreation>
  /**
   * The URL of an upload that exists, for one client to go on with, or to download.
   * @throws TypeError when the options make no sense.
   */
  signUpload(id: string, options?: UploadUrlOptions): Promise<string>
}

/**
 * Signs upload URLs.
 *
 * @throws TypeError when the secret is too short or the URL is none.
 * @example
 * const signer = createSigner({ secret, url: 'https://uploads.example.com/files' })
 * const { url, uploadUrl } = await signer.signCreation({ maxSize: 5e6, types: ['image/*'], claims: { sub: user.id } })
 */
export function createSigner({ secret, url }: SignerOptions): Signer {
  const keys = createKeys(secret)
  const base = URL.parse(url)
  if (base === null || !/^https?:$/.test(base.protocol) || base.search !== '' || base.hash !== '') {
    throw new TypeError('url must be an http or https URL without query and fragment')
  }
  const endpoint = base.href.replace(/\/+$/, '')
  const sign = async (grant: Grant) => `?${parameter}=${await keys.sign(toClaims(grant))}`

  return {
    async signCreation(options = {}) {
      const { id = randomId(), operations = sending, maxSize, types, metadata = {}, claims = {} } = options
      const { createWithinSeconds = 3600, expiresInSeconds = 86_400 } = options
      const query = await sign({
        uploadId: id,
        operations: ['create', ...operations],
        expiresAt: fromNow(expiresInSeconds),
        createBefore: fromNow(Math.min(createWithinSeconds, expiresInSeconds)),
        creationId: randomId(),
        maxSize: maxSize ?? null,
        types: types ?? null,
        metadata,
        claims,
      })
      return { url: endpoint + query, uploadUrl: `${endpoint}/${encodeId(id)}${query}`, uploadId: id }
    },
    async signUpload(id, { operations = sending, expiresInSeconds = 86_400, claims = {} } = {}) {
      const query = await sign({
        uploadId: id,
        operations,
        expiresAt: fromNow(expiresInSeconds),
        createBefore: null,
        creationId: null,
        maxSize: null,
        types: null,
        metadata: {},
        claims,
      })
      return `${endpoint}/${encodeId(id)}${query}`
    },
  }
}

/** What it takes to send an upload's bytes and to go on after a break. */
const sending = ['inspect', 'append'] as const

function fromNow(seconds: number): number {
  if (!(seconds > 0)) throw new TypeError(`A signed URL must be valid for more than 0 seconds: ${seconds}`)
  // A claim holds whole seconds.
  return Math.ceil(Date.now() / 1000 + seconds) * 1000
}
