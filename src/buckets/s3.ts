import { StoreError } from '../errors.ts'
import type { Bucket, BucketLimits, ByteRange, CallOptions, Multipart, Part } from '../objects/bucket.ts'
import type { S3Options } from '../stores/s3.ts'
import { required, versionOf } from './s3-answers.ts'
import { checkBucket } from './s3-check.ts'
import { encodeKey, s3Client, type Answer, type S3Client, type S3Request } from './s3-client.ts'
import { getObject, headObject, readObject } from './s3-get.ts'
import { listMultiparts, listObjects, listParts } from './s3-list.ts'
import { conditionalPuts } from './s3-put.ts'
import { escapeXml, textOf } from './s3-xml.ts'

const mib = 1024 * 1024
const gib = 1024 * mib

/** What is copied by way of this process at most: Amazon copies no ranges of objects up to 5 MB. */
const smallCopy = 8 * mib

/**
 * A bucket of S3 or of a service that speaks its protocol.
 *
 * @throws TypeError when an option is not usable. Nothing is sent before the first call.
 */
export function s3Bucket(options: S3Options): Bucket {
  const prefix = checkedPrefix(options.prefix ?? '')
  const client = s3Client(options)
  const { name, send, ask } = client
  const puts = conditionalPuts(client, options.allowUnfenced ?? false)

  const self: Bucket = {
    name,
    limits: limitsOf(client, options.uniformParts),

    get: (key, range, { signal }) => getObject(client, prefix + key, range, signal),
    read: (key, range, { signal }) => readObject(client, prefix + key, range, signal),
    head: (key, { signal }) => headObject(client, prefix + key, signal),
    put: (key, bytes, put, { signal }) => puts.put(prefix + key, bytes, put, signal),

    async delete(key, { signal }) {
      const answer = await send({ action: 'DeleteObject', method: 'DELETE', key: prefix + key, signal })
      await settle(answer, ['NoSuchKey'])
    },

    list: (start, { signal }) => listObjects(client, prefix, start, signal),
    multiparts: (start, { signal }) => listMultiparts(client, prefix, start, signal),

    async createMultipart(key, { contentType, contentDisposition }, { signal }) {
      const headers = { 'content-type': contentType, 'content-disposition': contentDisposition }
      const { refusal, failure, document } = await ask(
        { action: 'CreateMultipartUpload', method: 'POST', key: prefix + key, query: { uploads: '' }, headers, signal },
        'InitiateMultipartUploadResult',
      )
      if (refusal !== null) throw failure()
      return required(textOf(document, 'UploadId'), 'UploadId', name)
    },

    async putPart({ key, multipartId }, partNumber, bytes, { signal }) {
      return uploadPart(key, multipartId, partNumber, { body: bytes, signal })
    },

    ...(client.sendsStreams && {
      streamPart: ({ key, multipartId }, partNumber, stream, { signal }) =>
        uploadPart(key, multipartId, partNumber, { stream, signal }),
    }),

    // Ceph decodes the key twice, and a plus behind a question mark as a space: it would copy another object.
    ...(!/[%?]/.test(prefix) && { copyPart }),

    async complete({ key, multipartId }, parts, _headers, { signal }) {
      const answer = await ask(
        {
          action: 'CompleteMultipartUpload',
          method: 'POST',
          key: prefix + key,
          query: { uploadId: multipartId },
          headers: { 'content-type': 'application/xml' },
          body: partList(parts),
          signal,
        },
        'CompleteMultipartUploadResult',
      )
      const code = answer.refusal?.code
      if (code === 'InvalidPart' || code === 'InvalidPartOrder') return 'invalid'
      // Which Ceph says of one that was aborted, however often it is asked.
      if (code === 'InternalError' && (await isMissing({ key, multipartId }, signal))) return 'missing'
      return (await settle(answer, missingMultipart)) ? 'completed' : 'missing'
    },

    parts: ({ key, multipartId }, { signal }) =>
      listParts(client, { key: prefix + key, multipartId }, missingMultipart, signal),

    async abort({ key, multipartId }, { signal }) {
      const query = { uploadId: multipartId }
      const answer = await send({ action: 'AbortMultipartUpload', method: 'DELETE', key: prefix + key, query, signal })
      await settle(answer, missingMultipart)
    },

    check: (call) => checkBucket(self, options.allowUnfenced === true ? puts.unfence : null, call),
  }
  return self

  async function uploadPart(
    key: string,
    uploadId: string,
    partNumber: number,
    what: Pick<S3Request, 'body' | 'stream' | 'signal'>,
  ): Promise<string | null> {
    const query = { partNumber: String(partNumber), uploadId }
    const answer = await send({ action: 'UploadPart', method: 'PUT', key: prefix + key, query, ...what })
    return (await settle(answer, missingMultipart)) ? versionOf(answer.response, name) : null
  }

  async function copyPart(
    multipart: Multipart,
    partNumber: number,
    { key, range }: { readonly key: string; readonly range: ByteRange },
    call: CallOptions,
  ): Promise<string | null> {
    const answer = await ask(
      {
        action: 'UploadPartCopy',
        method: 'PUT',
        key: prefix + multipart.key,
        query: { partNumber: String(partNumber), uploadId: multipart.multipartId },
        headers: {
          'x-amz-copy-source': `/${encodeKey(`${options.bucket}/${prefix}${key}`)}`,
          'x-amz-copy-source-range': `bytes=${range.start}-${range.end - 1}`,
        },
        signal: call.signal,
      },
      'CopyPartResult',
    )
    const code = answer.refusal?.code
    if (code === 'InvalidRequest' && range.end - range.start <= smallCopy) {
      const source = await self.get(key, range, call)
      if (source === null) throw noObject(key)
      return self.putPart(multipart, partNumber, source.bytes, call)
    }
    if (code === 'NoSuchKey' && (await self.head(key, call)) === null) throw noObject(key)
    return (await settle(answer, missingMultipart)) ? required(textOf(answer.document, 'ETag'), 'ETag', name) : null
  }

  /** Only where the service says so of this very one: a list of all may lack some (MinIO's does after a restart). */
  async function isMissing({ key, multipartId }: Multipart, signal: AbortSignal): Promise<boolean> {
    const query = { uploadId: multipartId, 'max-parts': '1' }
    try {
      const answer = await send({ action: 'ListParts', method: 'GET', key: prefix + key, query, signal })
      return !(await settle(answer, missingMultipart))
    } catch {
      return false
    }
  }

  function noObject(key: string): StoreError {
    return new StoreError('corrupt', `${name} has no object ${key}`)
  }
}

/** DigitalOcean says NoSuchKey. */
const missingMultipart = ['NoSuchUpload', 'NoSuchKey']

/** Whether it went well; false where the answer is one of `codes`. */
async function settle({ response, refusal, failure }: Answer, codes: readonly string[]): Promise<boolean> {
  if (refusal === null) {
    // Read to the end, so that the connection can be used again.
    if (!response.bodyUsed) await response.arrayBuffer()
    return true
  }
  if (codes.includes(refusal.code)) return false
  throw failure()
}

function partList(parts: readonly Part[]): string {
  const list = parts.map(
    ({ partNumber, etag }) => `<Part><PartNumber>${partNumber}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`,
  )
  const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'
  return `<CompleteMultipartUpload xmlns="${namespace}">${list.join('')}</CompleteMultipartUpload>`
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html; other services stop at 5 TiB. */
function limitsOf({ address }: S3Client, uniformParts: boolean | undefined): BucketLimits {
  return {
    minPartBytes: 5 * mib,
    maxPartBytes: 5 * gib,
    maxCopyBytes: 5 * gib,
    maxParts: 10_000,
    uniformParts: uniformParts ?? address.r2,
    partsReplace: true,
    // The answer does not tell the size.
    completesExactly: false,
    maxPutBytes: 5 * gib,
    maxObjectBytes: address.aws ? 10_000 * 5 * gib : 5 * 1024 * gib,
  }
}

function checkedPrefix(prefix: string): string {
  if (typeof prefix !== 'string' || !/^(?!\/)\P{Cc}*$/u.test(prefix) || !prefix.isWellFormed()) {
    throw new TypeError('s3: prefix must be printable text that does not begin with a slash')
  }
  // A URL cannot name them.
  if (prefix.split('/').some((folder) => folder === '.' || folder === '..')) {
    throw new TypeError('s3: prefix may not have . or .. as a folder')
  }
  return prefix
}
