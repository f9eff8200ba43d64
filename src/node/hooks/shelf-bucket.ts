import { randomUUID } from 'node:crypto'
import type { Bucket } from '../../objects/bucket.ts'
import { retrying } from '../../objects/retry.ts'
import type { Shelf } from './shelf.ts'

/** No upload's id starts with a dot. */
const start = '.hooks/'
const listTimeoutMs = 120_000

/** Keeps events as objects in a bucket, all below `.hooks/`. Whatever is stored there is durable. */
export function bucketShelf(bucket: Bucket): Shelf {
  const calls = retrying(bucket)
  const headers = { contentType: 'application/json' }
  return {
    self: randomUUID(),
    put: async (key, bytes) => (await calls.put(start + key, bytes, headers)) ?? '',
    replace: (key, bytes, version) => calls.put(start + key, bytes, { ...headers, ifMatch: version }),
    get: (key) => calls.get(start + key, null),
    delete: (key) => calls.delete(start + key),
    list: (prefix) =>
      calls.repeat('list', listTimeoutMs, async (options) => {
        const found: string[] = []
        for await (const { key } of bucket.list(start + prefix, options))
          found.push(key.slice(start.length + prefix.length))
        return found
      }),
    // Servers know nothing of each other.
    isGone: () => Promise.resolve(null),
    close: () => Promise.resolve(),
  }
}
