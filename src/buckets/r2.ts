import { StoreError } from '../errors.ts'
import type { Bucket, BucketLimits, ByteRange, ObjectHeaders, PutOptions } from '../objects/bucket.ts'
import type { R2Binding, R2ByobReader, R2HttpMetadata, R2Object, R2ObjectBody } from './r2-binding.ts'
import { answer, codeOf, failures, sendable } from './r2-calls.ts'

export interface R2BucketOptions {
  /** The binding, as a Worker finds it in its `env`. */
  readonly bucket: R2Binding
  /** What all keys start with. @default '' */
  readonly prefix?: string
}

const mib = 1 << 20

const limits: BucketLimits = {
  minPartBytes: 5 * mib,
  // R2 itself takes nearly 5 GiB, but a part is gathered in memory, and a Worker has 128 MB for all its requests.
  maxPartBytes: 32 * mib,
  maxCopyBytes: 0,
  maxParts: 10_000,
  uniformParts: true,
  partsReplace: true,
  completesExactly: false,
  maxPutBytes: 32 * mib,
  maxObjectBytes: 10_000 * 32 * mib,
}

/** Bytes that `read` yields at a time. Left to itself the runtime hands out 4 KiB, which costs more than the bytes. */
const pieceBytes = 256 * 1024

/**
 * An R2 bucket through its Workers binding. Uses web standards and the binding alone, no Node.js.
 *
 * Two things the binding cannot do: it ends no call that has begun (what is being sent is cut off, though), and it
 * lists no multiparts: `multiparts` yields none.
 *
 * @throws TypeError when `bucket` is no such binding.
 */
export function r2Bucket({ bucket, prefix = '' }: R2BucketOptions): Bucket {
  if (typeof (bucket as Partial<R2Binding> | undefined)?.createMultipartUpload !== 'function') {
    throw new TypeError('r2: bucket must be an R2 bucket binding of a Worker, like env.BUCKET')
  }
  const name = prefix === '' ? 'r2' : `r2:${prefix}`
  const call = failures(name)

  const self: Bucket = {
    name,
    limits,

    get: (key, range, { signal }) =>
      call('get', key, signal, async () => {
        const object = await open(prefix + key, range)
        if (object === null) return null
        const { size, etag } = object
        if (!('body' in object)) return { size, version: etag, bytes: new Uint8Array(0) }
        const bytes = new Uint8Array(await object.arrayBuffer())
        assertWhole(bytes.byteLength, range, size)
        return { size, version: etag, bytes }
      }),

    async *read(key, range, { signal }) {
      const object = await call('read', key, signal, () => open(prefix + key, range))
      if (object === null) throw new StoreError('corrupt', `${name} has no object ${key}`)
      if (!('body' in object)) return
      const reader = object.body.getReader({ mode: 'byob' })
      let count = 0
      let ended = false
      try {
        while (!ended) {
          const { done, value } = await call('read', key, signal, () => nextPiece(reader))
          ended = done
          count += value?.byteLength ?? 0
          if (ended) await call('read', key, signal, async () => assertWhole(count, range, object.size))
          if (value !== undefined && value.byteLength > 0) yield value
        }
      } finally {
        if (!ended) void reader.cancel().then(undefined, () => {})
      }
    },

    head: (key, { signal }) =>
      call('head', key, signal, async () => {
        const object = await bucket.head(prefix + key)
        return object === null ? null : { size: object.size, version: object.etag }
      }),

    put: (key, bytes, put, { signal }) =>
      call('put', key, signal, async () => {
        const condition = conditionOf(put)
        const options = { httpMetadata: metadataOf(put), ...(condition === null ? {} : { onlyIf: condition }) }
        const stored = await sendable(bytes, signal, (value) => bucket.put(prefix + key, value, options))
        return stored?.etag ?? null
      }),

    delete: (key, { signal }) => call('delete', key, signal, () => bucket.delete(prefix + key)),

    async *list(listPrefix, { signal }) {
      let cursor: string | undefined
      do {
        const from = cursor === undefined ? {} : { cursor }
        const page = await call('list', listPrefix, signal, () => bucket.list({ prefix: prefix + listPrefix, ...from }))
        for (const { key, size } of page.objects) yield { key: key.slice(prefix.length), size }
        cursor = page.truncated ? page.cursor : undefined
      } while (cursor !== undefined)
    },

    createMultipart: (key, headers, { signal }) =>
      call('createMultipartUpload', key, signal, async () => {
        const upload = await bucket.createMultipartUpload(prefix + key, { httpMetadata: metadataOf(headers) })
        return upload.uploadId
      }),

    putPart: ({ key, multipartId }, partNumber, bytes, { signal }) =>
      call('uploadPart', key, signal, () => {
        const upload = bucket.resumeMultipartUpload(prefix + key, multipartId)
        const sent = sendable(bytes, signal, (value) => upload.uploadPart(partNumber, value))
        return answer(
          sent.then(({ etag }) => etag),
          { [codes.noSuchUpload]: null },
        )
      }),

    complete: ({ key, multipartId }, parts, _headers, { signal }) =>
      call('completeMultipartUpload', key, signal, () => {
        const upload = bucket.resumeMultipartUpload(prefix + key, multipartId)
        const named = parts.map(({ partNumber, etag }) => ({ partNumber, etag }))
        return answer(
          upload.complete(named).then(() => 'completed' as const),
          { [codes.noSuchUpload]: 'missing', [codes.invalidPart]: 'invalid' },
        )
      }),

    abort: ({ key, multipartId }, { signal }) =>
      call('abortMultipartUpload', key, signal, () => {
        const upload = bucket.resumeMultipartUpload(prefix + key, multipartId)
        return answer(upload.abort(), { [codes.noSuchUpload]: undefined })
      }),

    async *multiparts(_prefix, { signal }) {
      yield* await call('list', '', signal, async () => [])
    },

    async check(options) {
      const key = `.probe-${crypto.randomUUID()}`
      const bytes = new TextEncoder().encode('fileloft')
      const expect = async (condition: PutOptions, stored: boolean): Promise<void> => {
        if (((await self.put(key, bytes, condition, options)) !== null) === stored) return
        const [which] = Object.keys(condition)
        throw new StoreError(
          'unavailable',
          `${name}: a write with ${which} was ${stored ? 'refused' : 'done although its condition fails'}: ` +
            'is the binding a real R2 bucket?',
        )
      }
      try {
        await expect({ ifMatch: '0'.repeat(32) }, false)
        await expect({ ifNoneMatch: '*' }, true)
        await expect({ ifNoneMatch: '*' }, false)
      } catch (error) {
        await self.delete(key, options).catch(() => {})
        throw error
      }
      await self.delete(key, options)
    },
  }
  return self

  /** The object with a body, or without one where the range lies outside of it. */
  async function open(key: string, range: ByteRange | null): Promise<R2ObjectBody | R2Object | null> {
    if (range === null) return bucket.get(key)
    const { start, end } = range
    if (end <= start) return withoutBody(key)
    try {
      return await bucket.get(key, { range: { offset: start, length: end - start } })
    } catch (error) {
      // A range that starts right at the end is a mere 500 to the local R2 of wrangler and miniflare.
      const code = codeOf(error)
      if (code !== codes.invalidRange && code !== codes.unspecified) throw error
      const object = await withoutBody(key)
      if (object !== null && object.size > start) throw error
      return object
    }
  }

  async function withoutBody(key: string): Promise<R2Object | null> {
    const object = await bucket.head(key)
    return object === null ? null : { size: object.size, etag: object.etag }
  }
}

const codes = { unspecified: 0, noSuchUpload: 10024, invalidPart: 10025, invalidRange: 10039 } as const

function nextPiece(reader: R2ByobReader): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> {
  return reader.read(new Uint8Array(pieceBytes), { min: pieceBytes })
}

/** A body that ends too early is no end. */
function assertWhole(count: number, range: ByteRange | null, size: number): void {
  const wanted = range === null ? size : Math.min(range.end, size) - range.start
  if (count !== wanted) throw new Error(`${count} bytes of ${wanted} arrived`)
}

function conditionOf({ ifMatch, ifNoneMatch }: PutOptions): { etagMatches?: string; etagDoesNotMatch?: string } | null {
  if (ifMatch !== undefined) return { etagMatches: ifMatch }
  return ifNoneMatch === undefined ? null : { etagDoesNotMatch: ifNoneMatch }
}

function metadataOf({ contentType, contentDisposition }: ObjectHeaders): R2HttpMetadata {
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(contentDisposition === undefined ? {} : { contentDisposition }),
  }
}
