/** What the cases over a `Bucket` are written with. */
import { StoreError } from '../../src/errors.ts'
import type { Bucket, ObjectHeaders } from '../../src/objects/bucket.ts'
import { concat } from '../suites/bodies.ts'
import { equal, equalBytes, fail, ok } from '../suites/support.ts'

/** One case's own world. */
export interface BucketContext {
  /** Empty: its prefix is this case's own. */
  readonly bucket: Bucket
  /** Another one in the same place, whose prefix is that of `bucket` followed by `suffix`. */
  readonly open: (suffix: string) => Bucket
  /** What the server serves the object of `bucket` with, asked for without the driver. */
  readonly served: (key: string) => Promise<ObjectHeaders>
  /** Whether the server completes no multipart of which some part is left out. */
  readonly wantsEveryPart?: boolean
}

export interface BucketCase {
  /** Call, condition, outcome. */
  readonly title: string
  readonly run: (context: BucketContext) => Promise<void>
}

/** For calls that nothing ends. */
export const options = { signal: new AbortController().signal }

/** As the engine makes them: ASCII, with quotes, percent signs and a semicolon. */
export const disposition = `attachment; filename="a b_c.txt"; filename*=UTF-8''a%20b%C3%BCc.txt`

/** Puts without a condition. */
export async function put(
  bucket: Bucket,
  key: string,
  bytes: Uint8Array,
  headers: ObjectHeaders = {},
): Promise<string> {
  const version = await bucket.put(key, bytes, headers, options)
  ok(version !== null && version !== '', `put ${key}: a version`)
  return version
}

export async function expectObject(bucket: Bucket, key: string, bytes: Uint8Array): Promise<void> {
  const got = await bucket.get(key, null, options)
  ok(got !== null, `${key}: found`)
  equalBytes(got.bytes, bytes, key)
  equal(got.size, bytes.length, `${key}: size`)
}

/** `key size` of all, sorted. */
export async function listing(bucket: Bucket, prefix: string, call = options): Promise<string> {
  const lines: string[] = []
  for await (const { key, size } of bucket.list(prefix, call)) lines.push(`${key} ${size}`)
  return lines.toSorted().join()
}

export async function gather<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return concat(await gather(pieces))
}

/** The StoreError that this promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<StoreError> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    if (error instanceof StoreError) return error
    fail(`rejected with ${String(error)}, wanted a StoreError`)
  }
  fail(`resolved with ${String(value)}, wanted a StoreError`)
}
