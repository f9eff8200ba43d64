/**
 * A bucket in memory with the rules of S3, or sizes only: for uploads that no test could really send, and for faults at
 * exact points that no server produces on demand.
 */
import { StoreError } from '../../src/errors.ts'
import type { Bucket, BucketLimits, Multipart, ObjectHeaders, Part } from '../../src/objects/bucket.ts'

export interface SimulatedOptions {
  readonly limits?: Partial<BucketLimits>
  /** Keeps no bytes of parts and of objects made of them, only their sizes; reading those gives zeros. */
  readonly sizesOnly?: boolean
  /** Whether it completes no multipart unless all of its parts are named, as Ceph's gateway. */
  readonly wantsEveryPart?: boolean
  /** Whether it takes parts while they are filled; told of the bytes that have come of one. What it throws ends the call. */
  readonly streams?: (partNumber: number, bytes: number) => void | Promise<void>
  /** Called before each call takes effect; what it throws is what the call throws. */
  readonly before?: Hook
  /** Called after it took effect; what it throws is what the call throws: an answer that got lost. */
  readonly after?: Hook
}

/** `partNumber` is 0 for calls that are not about a part. */
type Hook = (call: string, key: string, partNumber: number) => void | Promise<void>

interface Stored {
  readonly bytes: Uint8Array
  readonly size: number
  readonly version: string
  readonly headers: ObjectHeaders
}

export interface SimulatedBucket extends Bucket {
  readonly objects: Map<string, Stored>
  readonly open: Map<string, { key: string; parts: Map<number, Stored>; createdAt: number; headers: ObjectHeaders }>
  /** Calls so far, by name. */
  readonly calls: Map<string, number>
}

export const s3Limits: BucketLimits = {
  minPartBytes: 5 << 20,
  maxPartBytes: 5 * 2 ** 30,
  maxCopyBytes: 5 * 2 ** 30,
  maxParts: 10_000,
  uniformParts: false,
  partsReplace: true,
  completesExactly: false,
  maxPutBytes: 5 * 2 ** 30,
  maxObjectBytes: 5 * 2 ** 40,
}

export function simulatedBucket(options: SimulatedOptions = {}): SimulatedBucket {
  const { sizesOnly = false, wantsEveryPart = false, before, after } = options
  const limits = { ...s3Limits, ...options.limits }
  const objects = new Map<string, Stored>()
  const open: SimulatedBucket['open'] = new Map()
  const calls = new Map<string, number>()
  let versions = 0

  const store = (bytes: Uint8Array, headers: ObjectHeaders, keep: boolean): Stored => ({
    bytes: keep ? bytes.slice() : new Uint8Array(0),
    size: bytes.byteLength,
    version: `"v${++versions}"`,
    headers,
  })
  const bytesOf = ({ bytes, size }: Stored): Uint8Array => (bytes.byteLength === size ? bytes : new Uint8Array(size))

  async function call<T>(name: string, key: string, signal: AbortSignal, work: () => T, partNumber = 0): Promise<T> {
    calls.set(name, (calls.get(name) ?? 0) + 1)
    signal.throwIfAborted()
    await before?.(name, key, partNumber)
    const result = work()
    await after?.(name, key, partNumber)
    return result
  }

  return {
    name: 'simulated',
    limits,
    objects,
    open,
    calls,
    get: (key, range, { signal }) =>
      call('get', key, signal, () => {
        const object = objects.get(key)
        if (object === undefined) return null
        const { start = 0, end = object.size } = range ?? {}
        return { size: object.size, version: object.version, bytes: bytesOf(object).slice(start, end) }
      }),
    async *read(key, range, { signal }) {
      const bytes = await call('read', key, signal, () => {
        const object = objects.get(key)
        if (object === undefined) throw new StoreError('corrupt', `no object ${key}`)
        return bytesOf(object).slice(range.start, range.end)
      })
      for (let n = 0; n < bytes.byteLength; n += 65_536) yield bytes.subarray(n, n + 65_536)
    },
    head: (key, { signal }) =>
      call('head', key, signal, () => {
        const object = objects.get(key)
        return object === undefined ? null : { size: object.size, version: object.version }
      }),
    put: (key, bytes, { ifMatch, ifNoneMatch, ...headers }, { signal }) =>
      call('put', key, signal, () => {
        const present = objects.get(key)
        if (bytes.byteLength > limits.maxPutBytes) throw new StoreError('unavailable', 'EntityTooLarge')
        if (ifNoneMatch !== undefined && present !== undefined) return null
        if (ifMatch !== undefined && present?.version !== ifMatch) return null
        const stored = store(bytes, headers, true)
        objects.set(key, stored)
        return stored.version
      }),
    delete: (key, { signal }) => call('delete', key, signal, () => void objects.delete(key)),
    async *list(prefix, { signal }) {
      const found = await call('list', prefix, signal, () => [...objects].filter(([key]) => key.startsWith(prefix)))
      for (const [key, { size }] of found) yield { key, size }
    },
    createMultipart: (key, headers, { signal }) =>
      call('createMultipart', key, signal, () => {
        const multipartId = `m${++versions}`
        open.set(multipartId, { key, parts: new Map(), createdAt: Date.now(), headers })
        return multipartId
      }),
    putPart: ({ key, multipartId }, partNumber, bytes, { signal }) =>
      call('putPart', key, signal, () => putPart(multipartId, partNumber, bytes), partNumber),
    ...(options.streams !== undefined && {
      streamPart: async ({ key, multipartId }, partNumber, body, { signal }) => {
        const bytes = new Uint8Array(body.size)
        let filled = 0
        const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        aborted.catch(() => {})
        const pieces = body.pieces()[Symbol.asyncIterator]()
        for (;;) {
          const { done, value } = await Promise.race([pieces.next(), aborted])
          if (done === true) break
          bytes.set(value, filled)
          filled += value.byteLength
          await Promise.race([options.streams?.(partNumber, filled), aborted])
        }
        if (filled !== body.size) throw new StoreError('unavailable', `${filled} bytes of ${body.size}`)
        return call('putPart', key, signal, () => putPart(multipartId, partNumber, bytes), partNumber)
      },
    }),
    copyPart: ({ key, multipartId }, partNumber, source, { signal }) =>
      call(
        'copyPart',
        key,
        signal,
        () => {
          const object = objects.get(source.key)
          if (object === undefined) throw new StoreError('corrupt', `no object ${source.key}`)
          return putPart(multipartId, partNumber, bytesOf(object).subarray(source.range.start, source.range.end))
        },
        partNumber,
      ),
    complete: ({ key, multipartId }, parts, headers, { signal }) =>
      call('complete', key, signal, () => complete({ key, multipartId }, parts, headers)),
    parts: ({ key, multipartId }, { signal }) =>
      call('parts', key, signal, () => {
        const parts = open.get(multipartId)?.parts
        if (parts === undefined) return null
        const listed = [...parts].map(([partNumber, { version, size }]) => ({ partNumber, etag: version, size }))
        return listed.sort((a, b) => a.partNumber - b.partNumber)
      }),
    abort: ({ key, multipartId }, { signal }) => call('abort', key, signal, () => void open.delete(multipartId)),
    async *multiparts(prefix, { signal }) {
      await call('multiparts', prefix, signal, () => {})
      for (const [multipartId, { key, createdAt }] of open)
        if (key.startsWith(prefix)) yield { key, multipartId, createdAt }
    },
    check: () => Promise.resolve(),
  }

  function putPart(multipartId: string, partNumber: number, bytes: Uint8Array): string | null {
    if (bytes.byteLength === 0 || bytes.byteLength > limits.maxPartBytes)
      throw new StoreError('unavailable', 'bad size')
    if (!(partNumber >= 1 && partNumber <= limits.maxParts)) {
      throw new StoreError('unavailable', `Invalid part number ${partNumber}`)
    }
    const multipart = open.get(multipartId)
    if (multipart === undefined) return null
    const part = store(bytes, {}, !sizesOnly)
    multipart.parts.set(partNumber, part)
    return part.version
  }

  function complete(
    { key, multipartId }: Multipart,
    named: readonly Part[],
    headers: ObjectHeaders,
  ): 'completed' | 'missing' | 'invalid' {
    const multipart = open.get(multipartId)
    if (multipart === undefined) return 'missing'
    const parts = named.map(({ partNumber, etag }) => {
      const part = multipart.parts.get(partNumber)
      return part?.version === etag ? part : null
    })
    if (parts.some((part) => part === null) || parts.length === 0) return 'invalid'
    if (wantsEveryPart && parts.length < multipart.parts.size) return 'invalid'
    const found = parts.filter((part) => part !== null)
    const uneven = found.slice(0, -1).some(({ size }) => size < limits.minPartBytes)
    if (uneven) throw new StoreError('unavailable', 'EntityTooSmall')
    const [first] = found
    const isUniform = found.every(
      ({ size }, n) => size === first?.size || (n === found.length - 1 && size < (first?.size ?? 0)),
    )
    if (limits.uniformParts && !isUniform) throw new StoreError('unavailable', 'parts are not equal')
    const size = found.reduce((sum, part) => sum + part.size, 0)
    const bytes = new Uint8Array(sizesOnly ? 0 : size)
    let offset = 0
    for (const part of sizesOnly ? [] : found) {
      bytes.set(part.bytes, offset)
      offset += part.size
    }
    objects.set(key, { bytes, size, version: `"v${++versions}"`, headers })
    open.delete(multipartId)
    return 'completed'
  }
}
