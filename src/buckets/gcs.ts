import type { IncomingMessage } from 'node:http'
import { StoreError } from '../errors.ts'
import type { Bucket, CallOptions, Multipart } from '../objects/bucket.ts'
import type { GcsOptions } from '../stores/gcs.ts'
import { gcsClient, type GcsBody } from './gcs-client.ts'
import { isConditionFailure, isMissingObject, statusOf, toStoreError } from './gcs-errors.ts'
import { gcsObjects } from './gcs-objects.ts'
import {
  folderOf,
  gather,
  multipartOfName,
  newEtag,
  newMultipartId,
  partName,
  partsFolder,
  sizeOf,
} from './gcs-parts.ts'

const tebibyte = 1024 ** 4

/**
 * A bucket of Google Cloud Storage. Its own multipart uploads want parts of 5 MiB; here parts are objects (gcs-parts.ts)
 * of any size, which `complete` composes. So a multipart without parts leaves no trace (`multiparts` does not list it),
 * and a part that is sent after the end of its multipart is taken: it gets into no object, and is a leftover that
 * `multiparts` lists, as are former ones of parts that were sent again.
 *
 * @throws TypeError when an option is not usable. Nothing is sent before the first call.
 */
export function gcsBucket(given: GcsOptions): Bucket {
  const { bucket, prefix = '' } = given
  if (typeof bucket !== 'string' || !/^[a-z0-9][a-z0-9._-]{1,220}$/.test(bucket)) {
    throw new TypeError(`gcs: bucket must be the name of a bucket, not ${JSON.stringify(bucket)}`)
  }
  if (typeof prefix !== 'string' || /\p{Cc}/u.test(prefix) || !prefix.isWellFormed()) {
    throw new TypeError(`gcs: prefix must be printable text, not ${JSON.stringify(prefix)}`)
  }
  const name = `gs://${bucket}/${prefix}`
  const objects = gcsObjects(gcsClient(given, name), bucket, prefix)
  const { head } = objects

  async function call<T>(doing: string, { signal }: CallOptions, run: () => Promise<T>): Promise<T> {
    try {
      signal.throwIfAborted()
      return await run()
    } catch (error) {
      throw toStoreError(error, `${name}: ${doing}`, signal)
    }
  }

  async function* list(start: string, fields: string, options: CallOptions) {
    const items = objects.list(start, fields, options)
    for (;;) {
      const next = await call(`list ${start}`, options, () => items.next())
      if (next.done === true) return
      yield next.value
    }
  }

  async function keysBelow(folder: string, options: CallOptions): Promise<string[]> {
    const keys: string[] = []
    for await (const { key } of list(folder, 'name', options)) keys.push(key)
    return keys
  }

  async function insertPart(multipart: Multipart, n: number, body: GcsBody, size: number, options: CallOptions) {
    const etag = newEtag()
    const stored = await objects.insert(partName(multipart, n, etag), body, {}, options)
    if (stored.size === size) return etag
    throw new StoreError('unavailable', `${name}: ${stored.size} bytes of ${size} were stored`, { transient: true })
  }

  return {
    name,
    limits: {
      minPartBytes: 1,
      maxPartBytes: 5 * tebibyte,
      maxCopyBytes: 5 * tebibyte,
      // The service sets no limit. With more, records get large and completion slow: these take 324 composes.
      maxParts: 10_000,
      uniformParts: false,
      partsReplace: false,
      completesExactly: true,
      maxPutBytes: 5 * tebibyte,
      maxObjectBytes: 5 * tebibyte,
    },

    get: (key, range, options) =>
      call(`get ${key}`, options, async () => {
        const answer = await objects.open(key, range, options)
        if (answer === null) return null
        if (answer === 'none') {
          const found = await head(key, options)
          return found === null ? null : { ...found, bytes: new Uint8Array(0) }
        }
        const bytes = await collect(answer)
        const [, total] = /\/(\d+)$/.exec(answer.headers['content-range'] ?? '') ?? []
        const version = answer.headers['x-goog-generation']
        if (typeof version !== 'string') throw new Error('the answer has no generation')
        return { bytes, size: total === undefined ? bytes.byteLength : Number(total), version }
      }),

    async *read(key, range, options) {
      const doing = `read ${key}`
      const answer = await call(doing, options, async () => {
        const opened = await objects.open(key, range, options)
        return opened === 'none' && (await head(key, options)) === null ? null : opened
      })
      if (answer === null) throw new StoreError('corrupt', `${name}: ${doing}: there is no such object`)
      if (answer === 'none') return
      try {
        yield* answer as AsyncIterable<Uint8Array>
      } catch (error) {
        throw toStoreError(error, `${name}: ${doing}`, options.signal)
      }
    },

    head: (key, options) => call(`head ${key}`, options, () => head(key, options)),

    put: (key, bytes, { ifNoneMatch, ifMatch, ...headers }, options) =>
      call(`put ${key}`, options, async () => {
        const generation = ifNoneMatch === undefined ? ifMatch : '0'
        try {
          const { version } = await objects.insert(key, [bytes], headers, options, generation)
          return version
        } catch (error) {
          if (isConditionFailure(error) && generation !== undefined) return null
          throw error
        }
      }),

    delete: (key, options) => call(`delete ${key}`, options, () => objects.remove([key], options)),

    async *list(start, options) {
      for await (const { key, size } of list(start, 'name,size', options)) {
        if (!key.startsWith(partsFolder)) yield { key, size }
      }
    },

    createMultipart: (key, _headers, options) => call(`createMultipart ${key}`, options, async () => newMultipartId()),

    putPart: (multipart, partNumber, bytes, options) =>
      call(`putPart ${multipart.key} ${partNumber}`, options, () =>
        insertPart(multipart, partNumber, [bytes], bytes.byteLength, options),
      ),

    copyPart: (multipart, partNumber, { key, range }, options) =>
      call(`copyPart ${multipart.key} ${partNumber} of ${key}`, options, async () => {
        const size = range.end - range.start
        // A whole object is composed of itself alone, without a byte being moved.
        if (range.start === 0 && size > 0) {
          const etag = newEtag()
          const part = partName(multipart, partNumber, etag)
          const made = await objects.compose(part, [key], {}, options).catch(async (error: unknown) => {
            if (mayBeMissing(error) && (await head(key, options)) === null) return null
            throw error
          })
          if (made?.size === size) return etag
          if (made !== null) await objects.remove([part], options)
        }
        const source = await objects.open(key, range, options)
        if (source !== null && source !== 'none') {
          if (Number(source.headers['content-length']) === size) {
            return insertPart(multipart, partNumber, { stream: source, size }, size, options)
          }
          source.destroy()
        }
        throw new StoreError('corrupt', `${name}: ${key} does not have the bytes that are to be copied`)
      }),

    complete: (multipart, parts, headers, options) =>
      call(`complete ${multipart.key}`, options, async () => {
        const { key } = multipart
        const all = parts.map((part) => ({ name: partName(multipart, part.partNumber, part.etag), size: part.size }))
        const filled = all.filter(({ size }) => size > 0)
        const joined: string[] = []
        try {
          const pieces = await gather(multipart, filled, async (piece, sources) => {
            joined.push(piece)
            const { size } = await objects.compose(piece, sources, {}, options)
            return size
          })
          if (pieces === null) return 'invalid'
          const sources = pieces.map((piece) => piece.name)
          // Nothing cannot be composed.
          const { size, version } = await (sources.length === 0
            ? objects.insert(key, [], headers, options)
            : objects.compose(key, sources, headers, options))
          if (size !== sizeOf(filled)) {
            await objects.removeVersion(key, version, options)
            return 'invalid'
          }
        } catch (error) {
          if (!mayBeMissing(error)) throw error
          const there = new Set(await keysBelow(folderOf(multipart), options))
          const found = all.filter((piece) => there.has(piece.name))
          if (found.length === all.length) throw error
          return found.length === 0 ? 'missing' : 'invalid'
        }
        // What stays is found by `multiparts`.
        await objects.remove([...all.map((piece) => piece.name), ...joined], options).catch(() => {})
        return 'completed'
      }),

    abort: (multipart, options) =>
      call(`abort ${multipart.key}`, options, async () =>
        objects.remove(await keysBelow(folderOf(multipart), options), options),
      ),

    // The parts of one multipart stand together: names are listed in order.
    async *multiparts(start, options) {
      let last: { key: string; multipartId: string; createdAt: number } | null = null
      for await (const { key: part, createdAt } of list(partsFolder + start, 'name,timeCreated', options)) {
        const found = multipartOfName(part)
        if (found === null || !found.key.startsWith(start)) continue
        if (last?.key === found.key && last.multipartId === found.multipartId) {
          last.createdAt = Math.min(last.createdAt, createdAt)
        } else {
          if (last !== null) yield last
          last = { ...found, createdAt }
        }
      }
      if (last !== null) yield last
    },

    check: (options) =>
      call('check', options, async () => {
        const key = `.probe-${crypto.randomUUID()}`
        const put = () => objects.insert(key, [new Uint8Array(1)], {}, options, '0')
        await put()
        try {
          const again = await put().catch((error: unknown) => {
            if (isConditionFailure(error)) return null
            throw error
          })
          if (again !== null) throw new Error('conditional writes are not honoured: this is no Cloud Storage')
          if ((await head(key, options)) === null || !(await keysBelow(key, options)).includes(key)) {
            throw new Error('what was written is not found again')
          }
        } finally {
          // One object can be changed about once a second only.
          await objects.remove([key], options).catch((error: unknown) => {
            if (statusOf(error) !== 429) throw error
          })
        }
      }),
  }
}

/** Of a compose: fake-gcs-server answers 500 where a source is not there. */
function mayBeMissing(error: unknown): boolean {
  return isMissingObject(error) || statusOf(error) === 500
}

/** Mostly records: one piece, which is then not copied. */
async function collect(answer: IncomingMessage): Promise<Uint8Array> {
  const pieces: Buffer[] = []
  for await (const piece of answer as AsyncIterable<Buffer>) pieces.push(piece)
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces)
}
