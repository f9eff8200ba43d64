import { Readable } from 'node:stream'
import { StoreError } from '../errors.ts'
import type { Bucket, CallOptions } from '../objects/bucket.ts'
import { collect, download, httpHeaders, multipartsAt, pieces, properties, remove, upload } from './azure-blob.ts'
import { createdAt, newBlockId, newMultipartId } from './azure-blocks.ts'
import { azureContainer, type AzureConnection } from './azure-client.ts'
import { copyAccess, copyBlock } from './azure-copy.ts'
import { codeOf, toStoreError } from './azure-errors.ts'
import { freeBlocks } from './azure-free.ts'
import { despiteLease } from './azure-lease.ts'
import { blobName, blobPrefix, keyOfBlob } from './azure-names.ts'

export interface AzureBucketOptions extends AzureConnection {
  /** Goes before the names of all blobs: `uploads/`, for example. @default '' */
  readonly prefix?: string
}

const mebibyte = 1024 * 1024

const limits = {
  minPartBytes: 1,
  maxPartBytes: 4000 * mebibyte,
  // Larger ones are not allowed by every version of the service.
  maxCopyBytes: 100 * mebibyte,
  maxParts: 50_000,
  uniformParts: false,
  partsReplace: false,
  // All blocks or none are committed, and the name of each stands for its bytes alone.
  completesExactly: true,
  maxPutBytes: 5000 * mebibyte,
  maxObjectBytes: 50_000 * 4000 * mebibyte,
}

/**
 * A container of Azure Blob Storage. Objects are block blobs; parts are blocks, which wait at the blob's name until they
 * are committed. The service knows no multiparts, only blocks. So one without parts leaves no trace and is not listed by
 * `multiparts`, nor is one at the name of a blob; a part that is sent after the end of its multipart is taken, but gets
 * into no object and is gone after a week.
 *
 * @throws TypeError when the options are not usable.
 */
export function azureBucket(options: AzureBucketOptions): Bucket {
  const { prefix = '' } = options
  if (typeof prefix !== 'string' || /[\p{Cc}\ufffd]/u.test(prefix) || !prefix.isWellFormed()) {
    throw new TypeError(`azureStore: prefix must be printable text, not ${JSON.stringify(prefix)}`)
  }
  const container = azureContainer(options)
  const access = copyAccess(container)
  // Hosts of one's own name no account.
  const account = container.accountName || new URL(container.url).host
  const name = `azure://${account}/${container.containerName}/${prefix}`
  const blobOf = (key: string) => container.getBlockBlobClient(blobName(prefix + key))

  async function call<T>(doing: string, { signal }: CallOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      signal.throwIfAborted()
      return await run(signal)
    } catch (error) {
      throw toStoreError(error, `${name}: ${doing}`, signal)
    }
  }

  async function* list(start: string, options: CallOptions, includeUncommitedBlobs = false) {
    const wanted = prefix + start
    const named = blobPrefix(wanted)
    const filter = { includeUncommitedBlobs, ...(named !== '' && { prefix: named }) }
    const blobs = container.listBlobsFlat({ abortSignal: options.signal, ...filter })
    for (;;) {
      const next = await call(`list ${start}*`, options, () => blobs.next())
      if (next.done === true) return
      const key = keyOfBlob(next.value.name)
      const size = next.value.properties.contentLength ?? 0
      if (key.startsWith(wanted)) yield { key: key.slice(prefix.length), size }
    }
  }

  const bucket: Bucket = {
    name,
    limits,

    get: (key, range, options) =>
      call(`get ${key}`, options, async (signal) => {
        const blob = blobOf(key)
        const answer = await download(blob, range, signal)
        if (answer === null) return null
        if (answer === 'none') {
          const info = await properties(blob, signal)
          return info === null ? null : { ...info, bytes: new Uint8Array(0) }
        }
        const { contentLength = 0, contentRange, etag = '' } = answer
        const size = contentRange === undefined ? contentLength : Number(contentRange.split('/')[1])
        return { bytes: await collect(answer, contentLength), size, version: etag }
      }),

    async *read(key, range, options) {
      const doing = `read ${key}`
      const answer = await call(doing, options, async (signal) => {
        const blob = blobOf(key)
        const opened = await download(blob, range, signal)
        return opened === 'none' && (await properties(blob, signal)) === null ? null : opened
      })
      if (answer === null) throw new StoreError('corrupt', `${name}: ${doing}: there is no such blob`)
      if (answer === 'none') return
      try {
        yield* pieces(answer)
      } catch (error) {
        throw toStoreError(error, `${name}: ${doing}`, options.signal)
      }
    },

    head: (key, options) => call(`head ${key}`, options, (signal) => properties(blobOf(key), signal)),

    put: (key, bytes, put, options) => call(`put ${key}`, options, (signal) => upload(blobOf(key), bytes, put, signal)),

    delete: (key, options) => call(`delete ${key}`, options, (signal) => remove(blobOf(key), signal)),

    list: (start, options) => list(start, options),

    // The headers go with the commit.
    createMultipart: (key, _headers, options) => call(`createMultipart ${key}`, options, async () => newMultipartId()),

    putPart: ({ key, multipartId }, partNumber, bytes, options) =>
      call(`putPart ${key} ${partNumber}`, options, async (abortSignal) => {
        const id = newBlockId(multipartId, partNumber)
        const blob = blobOf(key)
        await despiteLease(blob, abortSignal, () => blob.stageBlock(id, bytes, bytes.byteLength, { abortSignal }))
        return id
      }),

    streamPart: ({ key, multipartId }, partNumber, { size, pieces: all }, options) =>
      call(`putPart ${key} ${partNumber}`, options, async (abortSignal) => {
        const id = newBlockId(multipartId, partNumber)
        const blob = blobOf(key)
        const body = () => Readable.from(all())
        await despiteLease(blob, abortSignal, () => blob.stageBlock(id, body, size, { abortSignal }))
        return id
      }),

    complete: ({ key, multipartId }, parts, headers, options) =>
      call(`complete ${key}`, options, async (abortSignal) => {
        const blob = blobOf(key)
        const blobHTTPHeaders = httpHeaders(headers)
        try {
          const ids = parts.map(({ etag }) => etag)
          await despiteLease(blob, abortSignal, () => blob.commitBlockList(ids, { abortSignal, blobHTTPHeaders }))
          return 'completed'
        } catch (error) {
          if (codeOf(error) !== 'InvalidBlockList') throw error
        }
        return (await multipartsAt(blob, 'all', abortSignal)).includes(multipartId) ? 'invalid' : 'missing'
      }),

    abort: ({ key, multipartId }, options) =>
      call(`abort ${key}`, options, (signal) => freeBlocks(blobOf(key), multipartId, signal)),

    async *multiparts(start, options) {
      for await (const { key, size } of list(start, options, true)) {
        if (size > 0) continue
        const owners = await call(`multiparts at ${key}`, options, (signal) =>
          multipartsAt(blobOf(key), 'uncommitted', signal),
        )
        for (const multipartId of new Set(owners)) {
          if (multipartId !== null) yield { key, multipartId, createdAt: createdAt(multipartId) }
        }
      }
    },

    async check(options) {
      const key = `.probe-${crypto.randomUUID()}`
      const probe = new Uint8Array(1)
      try {
        const version = await bucket.put(key, probe, { ifNoneMatch: '*' }, options)
        const again = await bucket.put(key, probe, { ifNoneMatch: '*' }, options)
        const stale = await bucket.put(key, probe, { ifMatch: '"0x0"' }, options)
        if (version === null || again !== null || stale !== null) {
          throw new StoreError(
            'unavailable',
            `${name}: this server does not honour conditional writes, which keep uploads safe: it is not Azure`,
          )
        }
        let listed = false
        for await (const object of list(key, options)) listed ||= object.key === key
        if (!listed) throw new StoreError('unavailable', `${name}: a blob that was written is not listed`)
      } catch (error) {
        await bucket.delete(key, options).catch(() => {})
        throw error
      }
      await bucket.delete(key, options)
    },
  }
  if (access === undefined) return bucket

  return {
    ...bucket,
    copyPart: ({ key, multipartId }, partNumber, { key: source, range }, options) =>
      call(`copyPart ${key} ${partNumber} of ${source}`, options, async (signal) => {
        const id = newBlockId(multipartId, partNumber)
        const blob = blobOf(key)
        const copy = () => copyBlock(blob, id, blobOf(source), range, access, signal)
        if (await despiteLease(blob, signal, copy)) return id
        throw new StoreError('corrupt', `${name}: ${source} does not have bytes ${range.start} to ${range.end}`)
      }),
  }
}
