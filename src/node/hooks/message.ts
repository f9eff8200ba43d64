/** An event in tusd's format: https://tus.github.io/tusd/advanced-topics/hooks/#hook-requests-and-responses. */
import type { RequestInfo } from '../../hooks.ts'
import { parseMetadata } from '../../metadata.ts'
import type { NewUpload, Upload } from '../../store.ts'
import type { RequestContext } from '../features.ts'
import { traceHeaders } from '../tracing/headers.ts'
import type { Place } from './place.ts'
import type { Message } from './transport.ts'
import type { HookType } from './types.ts'

/** What an event is about. */
export interface Subject extends Omit<RequestInfo, 'request'> {
  /** One that is only planned has no offset, and to tusd no id. */
  readonly upload: NewUpload | Upload
  /** Null when nobody's request caused it. */
  readonly request: Request | null
  readonly context: RequestContext | undefined
}

/**
 * What a client, or a proxy for it, proves who it is with. Kept nowhere, unless somebody wants it forwarded. `X-Author`
 * is none, and neither is the `Idempotency-Key`, which names a request.
 */
const credentials = /auth(?!ors?(?:-|$))|cookie|token|secret|(?<!idempotency-?)key|jwt|signature|session|password/i
export function isCredential(name: string): boolean {
  return credentials.test(name)
}

/** Names of headers with addresses (`X-Original-URL`), whose query may hold a signature. */
const addresses = /^(?:referer|.*-(?:uri|url|path))$/i

/**
 * Writes a message.
 * @param place null where the upload is not stored yet.
 * @param forwarded Names of headers that go along.
 */
export function writeMessage(
  type: HookType,
  eventId: string,
  subject: Subject,
  place: Place | null,
  forwarded: readonly string[],
): Message {
  const { upload, request, context } = subject
  const { claims } = context ?? {}
  const wanted = forwarded.map((name) => name.toLowerCase())
  // Events that are kept lie beside the uploads for a while, where credentials do not belong.
  const isOmitted = (name: string) => isKept(type) && isCredential(name) && !wanted.includes(name)
  const Event = {
    Upload: describeUpload(upload, place),
    HTTPRequest: {
      Method: request === null ? '' : methodOf(request),
      URI: request === null ? '' : targetOf(request, isKept(type)),
      RemoteAddr: addressOf(subject),
      Header: request === null ? {} : headersOf(request, isOmitted, isKept(type)),
    },
    ...(claims !== undefined && { Claims: claims }),
  }
  const headers = forwarded.flatMap((name) => {
    const value = request?.headers.get(name) ?? null
    return value === null ? [] : [[name, value] as const]
  })
  const body = JSON.stringify({ Type: type, EventID: eventId, Event })
  return { type, eventId, body, headers: { ...Object.fromEntries(headers), ...traceHeaders() } }
}

function isKept(type: HookType): boolean {
  return type.startsWith('post-') && type !== 'post-receive'
}

function describeUpload(upload: NewUpload | Upload, place: Place | null): object {
  const { id, length, metadata, concat } = upload
  return {
    ID: place === null ? '' : id,
    Size: length ?? 0,
    SizeIsDeferred: length === null,
    Offset: 'offset' in upload ? upload.offset : 0,
    MetaData: parseMetadata(metadata),
    IsPartial: concat?.type === 'partial',
    IsFinal: concat?.type === 'final',
    PartialUploads: concat?.type === 'final' ? concat.partials : null,
    Storage: place === null ? null : place(id),
  }
}

function methodOf({ method, headers }: Request): string {
  const override = method === 'POST' ? headers.get('x-http-method-override') : null
  return override === null ? method : override.trim().toUpperCase()
}

/** The path and the query. The query may be what a signed URL is signed by. */
function targetOf({ url }: Request, withoutQuery: boolean): string {
  const target = url.slice(url.indexOf('/', url.indexOf('://') + 3))
  return withoutQuery ? target.replace(/\?.*$/, '') : target
}

/** As Go writes it: address and port. */
function addressOf({ remoteAddress, remotePort = 0 }: Subject): string {
  if (remoteAddress === undefined) return ''
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`
}

/** Go's spelling: `upload-length` is `Upload-Length`. */
function headersOf(
  { headers, url }: Request,
  isOmitted: (name: string) => boolean,
  withoutQuery: boolean,
): Record<string, string[]> {
  // HTTP/2 has the host in its request line, and so in the address alone.
  const all: Record<string, string[]> = { Host: [url.split('/', 3)[2] ?? ''] }
  for (const [name, value] of headers) {
    if (isOmitted(name)) continue
    const text = textOf(value)
    all[canonical(name)] = [withoutQuery && addresses.test(name) ? text.replace(/\?.*$/, '') : text]
  }
  return all
}

/** Go takes the bytes of a value for UTF-8; here each of them is a character. */
function textOf(value: string): string {
  return /[\u0080-\u00ff]/.test(value) ? Buffer.from(value, 'latin1').toString() : value
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (letters) => letters.toUpperCase())
}
