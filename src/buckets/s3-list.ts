/** Listing objects, multiparts and parts, page by page. */
import type { ListedObject, Multipart, Part } from '../objects/bucket.ts'
import { count, required } from './s3-answers.ts'
import type { S3Client, S3Request } from './s3-client.ts'
import { elementsOf, textOf, type XmlElement } from './s3-xml.ts'

/** @param start What the keys begin with, after `prefix`. */
export async function* listObjects(
  client: S3Client,
  prefix: string,
  start: string,
  signal: AbortSignal,
): AsyncGenerator<ListedObject, void, undefined> {
  const whole = prefix + start
  let from: Record<string, string> = {}
  for (;;) {
    const query = { 'list-type': '2', 'max-keys': '1000', prefix: whole, ...from }
    const page = await ask(client, { action: 'ListObjectsV2', query, signal }, 'ListBucketResult')
    let last = ''
    for (const entry of elementsOf(page.document, 'Contents')) {
      last = textOf(entry, 'Key')
      const size = count(textOf(entry, 'Size'), client.name)
      if (last.startsWith(whole)) yield { key: last.slice(prefix.length), size }
    }
    if (textOf(page.document, 'IsTruncated') !== 'true') return
    const token = textOf(page.document, 'NextContinuationToken')
    from = token === '' ? { 'start-after': required(last, 'keys', client.name) } : { 'continuation-token': token }
  }
}

/** As `listObjects`. */
export async function* listMultiparts(
  client: S3Client,
  prefix: string,
  start: string,
  signal: AbortSignal,
): AsyncGenerator<Multipart & { readonly createdAt: number }, void, undefined> {
  const whole = prefix + start
  let asked = whole
  let from: Record<string, string> = {}
  for (;;) {
    const query = { uploads: '', 'max-uploads': '1000', ...(asked !== '' && { prefix: asked }), ...from }
    const page = await ask(client, { action: 'ListMultipartUploads', query, signal }, 'ListMultipartUploadsResult')
    if (asked !== '' && page.response.headers.get('server')?.startsWith('MinIO') === true) {
      // MinIO takes the prefix for a whole key. Without one it lists all that are going on.
      asked = ''
      continue
    }
    for (const entry of elementsOf(page.document, 'Upload')) {
      const key = textOf(entry, 'Key')
      if (!key.startsWith(whole)) continue
      const createdAt = Date.parse(textOf(entry, 'Initiated'))
      yield { key: key.slice(prefix.length), multipartId: textOf(entry, 'UploadId'), createdAt }
    }
    if (textOf(page.document, 'IsTruncated') !== 'true') return
    from = {
      'key-marker': required(textOf(page.document, 'NextKeyMarker'), 'NextKeyMarker', client.name),
      'upload-id-marker': textOf(page.document, 'NextUploadIdMarker'),
    }
  }
}

/**
 * @param multipart With its whole key.
 * @param missing Codes that say that it is not there: null.
 */
export async function listParts(
  client: S3Client,
  { key, multipartId }: Multipart,
  missing: readonly string[],
  signal: AbortSignal,
): Promise<Part[] | null> {
  const parts = new Map<number, Part>()
  let asked = ''
  for (let from: Record<string, string> = {}; ;) {
    const query = { uploadId: multipartId, 'max-parts': '1000', ...from }
    const request = { action: 'ListParts', method: 'GET', key, query, signal } as const
    const { refusal, failure, document } = await client.ask(request, 'ListPartsResult')
    if (refusal !== null && missing.includes(refusal.code)) return null
    if (refusal !== null) throw failure()
    for (const entry of elementsOf(document, 'Part')) {
      const partNumber = count(textOf(entry, 'PartNumber'), client.name)
      const etag = required(textOf(entry, 'ETag'), 'ETag', client.name)
      parts.set(partNumber, { partNumber, etag, size: count(textOf(entry, 'Size'), client.name) })
    }
    if (textOf(document, 'IsTruncated') !== 'true') {
      return [...parts.values()].sort((one, other) => one.partNumber - other.partNumber)
    }
    const marker = textOf(document, 'NextPartNumberMarker')
    // Else it would give the same page for ever.
    from = { 'part-number-marker': required(marker === asked ? '' : marker, 'NextPartNumberMarker', client.name) }
    asked = marker
  }
}

async function ask(
  client: S3Client,
  request: Omit<S3Request, 'method'>,
  root: string,
): Promise<{ readonly response: Response; readonly document: XmlElement }> {
  const { response, refusal, failure, document } = await client.ask({ ...request, method: 'GET' }, root)
  if (refusal !== null) throw failure()
  return { response, document }
}
