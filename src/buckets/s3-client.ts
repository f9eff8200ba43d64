/** Requests to S3: addressed, signed, sent, and their failures told. */
import { AwsV4Signer } from 'aws4fetch'
import { StoreError } from '../errors.ts'
import type { PartBody } from '../objects/bucket.ts'
import type { S3Credentials, S3Options, S3RequestInit } from '../stores/s3.ts'
import { s3Address, type S3Address } from './s3-address.ts'
import { credentialSource } from './s3-credentials.ts'
import { brokenError, readRefusal, refusalOf, refusedError, type Refusal, type S3Action } from './s3-errors.ts'
import { parseXml, type XmlElement } from './s3-xml.ts'

export interface S3Client {
  /** `s3://bucket/prefix`. */
  readonly name: string
  readonly address: S3Address
  /** Whether what is sent may be a stream. */
  readonly sendsStreams: boolean
  /** The answer to a request. Anything but a success has been read and is `refusal`. */
  readonly send: (request: S3Request) => Promise<Answer>
  /** As `send`, where the answer is a document: its root element, whatever failed while it was sent in `refusal`. */
  readonly ask: (request: S3Request, root: string) => Promise<Answer & { readonly document: XmlElement }>
  /** Runs what reads an answer's body. Its failures become StoreErrors. */
  readonly receive: <T>(request: Pick<S3Request, 'action' | 'signal'>, read: () => Promise<T>) => Promise<T>
}

export interface S3Request {
  readonly action: S3Action
  readonly method: S3RequestInit['method']
  /** With the prefix. None: the bucket itself. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: Uint8Array | string
  /** Instead of it, where the client `sendsStreams`. */
  readonly stream?: PartBody
  readonly signal: AbortSignal
}

export interface Answer {
  readonly response: Response
  readonly refusal: Refusal | null
  /** The error for the refusal, if it means none of what the caller knows. */
  readonly failure: () => StoreError
}

/** @throws TypeError when an option is not usable. */
export function s3Client(options: S3Options): S3Client {
  const { bucket, prefix = '', checksum } = options
  const address = s3Address(options)
  const name = `s3://${bucket}/${prefix}`
  const source = credentialSource(options.credentials, name)
  const asked = { name, bucket, region: address.region }
  /**
   * Whether the service takes what it got of a body for all of it where the connection ends, unless it knows the hash:
   * a record cut short would take the place of a whole one. Versity's does, known from its first answer on.
   */
  let takesCutBodies = false
  let signingKeys = new Map<string, ArrayBuffer>()

  async function sign(request: S3Request, credentials: S3Credentials): Promise<AwsV4Signer> {
    const headers = new Headers()
    for (const [header, value] of Object.entries(request.headers ?? {})) {
      if (value !== undefined) headers.set(header, value)
    }
    const isHashed = checksum === 'sha256' || (takesCutBodies && request.stream === undefined)
    if (isHashed) headers.set('x-amz-content-sha256', await sha256(request.body ?? ''))
    // One per day and pair of credentials.
    if (signingKeys.size > 10) signingKeys = new Map()
    const signer = new AwsV4Signer({
      method: request.method,
      url: address.base + encodeKey(request.key ?? '') + encodeQuery(request.query ?? {}),
      headers,
      service: 's3',
      region: address.region,
      cache: signingKeys,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken !== undefined && { sessionToken: credentials.sessionToken }),
    })
    await signer.sign()
    // Not signed: proxies rewrite it. Compressed answers have other lengths and ETags.
    signer.headers.set('accept-encoding', 'identity')
    return signer
  }

  async function send(request: S3Request): Promise<Answer> {
    const { action, signal } = request
    try {
      signal.throwIfAborted()
      const credentials = await source.get()
      const { url, headers } = await sign(request, credentials)
      const body = request.body === undefined ? {} : { body: request.body as Uint8Array<ArrayBuffer> | string }
      const stream = request.stream === undefined ? {} : { stream: request.stream }
      const init: S3RequestInit = { method: request.method, headers, redirect: 'manual', signal, ...body, ...stream }
      // Not kept: a stub put in place of the global one is to be seen.
      const response = await (options.fetch ?? globalThis.fetch)(url.href, init)
      takesCutBodies ||= response.headers.get('server') === 'VERSITYGW'
      const refusal = response.ok ? null : await readRefusal(response)
      return {
        response,
        refusal,
        failure() {
          const of = refusal ?? refusalOf(response, {})
          const stale = /^(ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId)$/.test(of.code)
          return refusedError(of, action, asked, stale && source.refused(credentials))
        },
      }
    } catch (error) {
      throw brokenError(error, action, name, signal)
    }
  }

  async function receive<T>(request: Pick<S3Request, 'action' | 'signal'>, read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      throw brokenError(error, request.action, name, request.signal)
    }
  }

  async function ask(request: S3Request, root: string): ReturnType<S3Client['ask']> {
    const answer = await send(request)
    if (answer.refusal !== null) return { ...answer, document: {} }
    const document = parseXml(await receive(request, () => answer.response.text()))
    if (document?.name === root) return { ...answer, document: document.root }
    if (document?.name !== 'Error') {
      const what = `${name}: ${request.action} was answered with something else than ${root}`
      throw new StoreError('unavailable', what, { transient: true })
    }
    const refusal = refusalOf(answer.response, document.root)
    return { ...answer, refusal, document: {}, failure: () => refusedError(refusal, request.action, asked, false) }
  }

  // The hash of what is still to come cannot be signed.
  const sendsStreams = options.fetch?.sendsStreams === true && checksum === undefined
  return {
    name,
    address,
    sendsStreams,
    send,
    ask,
    receive,
  }
}

/** A key as it stands in a path: everything encoded but RFC 3986's unreserved characters and slashes. */
export function encodeKey(key: string): string {
  return key.split('/').map(encode).join('/')
}

function encodeQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`)
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}

async function sha256(body: Uint8Array | string): Promise<string> {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : (body as Uint8Array<ArrayBuffer>)
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
