/** How object storages speak: what a request is, and what an error, a listing look like. */
import type { IncomingHttpHeaders } from 'node:http'

/** A request as it came. */
export interface StorageRequest {
  readonly method: string
  /** Its path and query; the host says nothing. */
  readonly url: URL
  readonly headers: IncomingHttpHeaders
}

export interface ErrorAnswer {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Dialect {
  /** The request's kind, as the storage's documentation names the call; `Other` for what is not known. */
  classify(request: StorageRequest): string
  /** What the storage sends with a 429, 500 or 503. */
  error(status: number): ErrorAnswer
  /** Kinds that answer a list. */
  readonly listings: ReadonlySet<string>
  /** Kinds whose answer begins before their outcome is known, so that a 200 may hold an error. */
  readonly early: ReadonlySet<string>
  /** What a list looks like without its second half, although the storage says that it is whole. */
  shorten(listing: string): string
}

export const s3: Dialect = {
  classify({ method, url, headers }) {
    const { pathname, searchParams: query } = url
    const copies = headers['x-amz-copy-source'] !== undefined
    const inBucket = /^\/[^/]+\/./.test(pathname)
    const multipart = query.has('uploadId')
    switch (method) {
      case 'GET':
        if (multipart) return 'ListParts'
        if (inBucket) return 'GetObject'
        if (query.has('uploads')) return 'ListMultipartUploads'
        return query.has('location') ? 'GetBucketLocation' : pathname === '/' ? 'ListBuckets' : 'ListObjects'
      case 'HEAD':
        return inBucket ? 'HeadObject' : 'HeadBucket'
      case 'PUT':
        if (multipart) return copies ? 'UploadPartCopy' : 'UploadPart'
        return inBucket ? (copies ? 'CopyObject' : 'PutObject') : 'CreateBucket'
      case 'POST':
        if (multipart) return 'CompleteMultipartUpload'
        return query.has('uploads') ? 'CreateMultipartUpload' : query.has('delete') ? 'DeleteObjects' : 'Other'
      case 'DELETE':
        if (multipart) return 'AbortMultipartUpload'
        return inBucket ? 'DeleteObject' : 'DeleteBucket'
      default:
        return 'Other'
    }
  },
  error(status) {
    const code = { 429: 'TooManyRequests', 503: 'SlowDown' }[status] ?? 'InternalError'
    return xmlError({}, `<Code>${code}</Code><Message>Please try again.</Message><RequestId>0</RequestId>`)
  },
  listings: new Set(['ListObjects', 'ListParts', 'ListMultipartUploads']),
  early: new Set(['CompleteMultipartUpload', 'CopyObject', 'UploadPartCopy']),
  shorten: (listing) => shortenXml(listing, /<(Contents|Part|Upload)>.*?<\/\1>/gs),
}

export const azure: Dialect = {
  classify({ method, url, headers }) {
    const query = url.searchParams
    const comp = query.get('comp')
    const inContainer = query.get('restype') === 'container'
    const copies = headers['x-ms-copy-source'] !== undefined
    switch (method) {
      case 'GET':
        if (comp === 'list') return inContainer ? 'ListBlobs' : 'ListContainers'
        return comp === 'blocklist' ? 'GetBlockList' : inContainer ? 'GetContainerProperties' : 'GetBlob'
      case 'HEAD':
        return inContainer ? 'GetContainerProperties' : 'GetBlobProperties'
      case 'PUT':
        if (inContainer) return comp === 'lease' ? 'LeaseContainer' : 'CreateContainer'
        if (comp === 'block') return copies ? 'PutBlockFromURL' : 'PutBlock'
        return azurePuts.get(comp) ?? (copies ? 'CopyBlob' : comp === null ? 'PutBlob' : 'Other')
      case 'DELETE':
        return inContainer ? 'DeleteContainer' : 'DeleteBlob'
      default:
        return 'Other'
    }
  },
  error(status) {
    const code = status === 500 ? 'InternalError' : 'ServerBusy'
    return xmlError({ 'x-ms-error-code': code }, `<Code>${code}</Code><Message>Please try again.</Message>`)
  },
  listings: new Set(['ListBlobs', 'GetBlockList']),
  early: new Set(),
  shorten: (listing) => shortenXml(listing, /<(Blob|Block)>.*?<\/\1>/gs),
}

const azurePuts: ReadonlyMap<string | null, string> = new Map([
  ['blocklist', 'PutBlockList'],
  ['appendblock', 'AppendBlock'],
  ['metadata', 'SetBlobMetadata'],
  ['properties', 'SetBlobProperties'],
  ['lease', 'LeaseBlob'],
])

export const gcs: Dialect = {
  classify({ method, url }) {
    const { pathname, searchParams: query } = url
    if (pathname.startsWith('/upload/')) {
      const resumable = query.get('uploadType') === 'resumable'
      return query.has('upload_id') ? 'UploadChunk' : resumable ? 'StartResumable' : 'InsertObject'
    }
    if (pathname === '/storage/v1/b') return method === 'POST' ? 'CreateBucket' : 'Other'
    const found = /^\/(?:download\/)?storage\/v1\/b\/[^/]+(\/o)?(?:\/(.+))?$/.exec(pathname)
    if (found === null) return 'Other'
    // Slashes in names are encoded: one in here is the call's own.
    const [, objects, rest] = found
    if (rest === undefined) return method !== 'GET' ? 'Other' : objects === undefined ? 'GetBucket' : 'ListObjects'
    if (rest.endsWith('/compose')) return 'ComposeObject'
    if (rest.includes('/rewriteTo/') || rest.includes('/copyTo/')) return 'RewriteObject'
    if (method === 'GET') return query.get('alt') === 'media' ? 'GetObject' : 'GetMetadata'
    return { DELETE: 'DeleteObject', PATCH: 'UpdateMetadata', PUT: 'UpdateMetadata' }[method] ?? 'Other'
  },
  error(status) {
    const [reason, message] = status === 429 ? ['rateLimitExceeded', 'Slow down'] : ['backendError', 'Try again']
    const error = { code: status, message, errors: [{ domain: 'global', reason, message }] }
    return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ error }) }
  },
  listings: new Set(['ListObjects']),
  early: new Set(),
  shorten(listing) {
    const { items = [], ...rest } = JSON.parse(listing) as { items?: unknown[]; nextPageToken?: string }
    delete rest.nextPageToken
    return JSON.stringify({ ...rest, items: items.slice(0, Math.floor(items.length / 2)) })
  },
}

function xmlError(headers: Readonly<Record<string, string>>, content: string): ErrorAnswer {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${content}</Error>`
  return { headers: { 'Content-Type': 'application/xml', ...headers }, body }
}

function shortenXml(listing: string, entry: RegExp): string {
  const count = listing.match(entry)?.length ?? 0
  let seen = 0
  return listing
    .replace(entry, (text) => (seen++ < Math.floor(count / 2) ? text : ''))
    .replace('<IsTruncated>true<', '<IsTruncated>false<')
    .replace(/<Next(\w*)>.*?<\/Next\1>/gs, '')
}
