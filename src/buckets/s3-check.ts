import { StoreError } from '../errors.ts'
import type { Bucket, CallOptions } from '../objects/bucket.ts'

/**
 * Tries out what the engine does, on an object of its own that is removed again: writing, conditional writing, reading,
 * looking for what is not there, listing, and multiparts.
 *
 * @param unfence Called where conditions are not honoured, to go on without; null where that is not allowed.
 */
export async function checkBucket(bucket: Bucket, unfence: (() => void) | null, options: CallOptions): Promise<void> {
  const key = `.probe-${crypto.randomUUID()}`
  const version = await bucket.put(key, probe(1), { ifNoneMatch: '*' }, options)
  try {
    const fault = await fenceFault(bucket, key, version, options)
    if (fault !== null && unfence === null) throw notFenced(bucket, fault)
    if (fault !== null) unfence?.()
    await bucket.get(key, null, options)
    // Forbidden instead of not found, where listing is.
    await bucket.get(`${key}-none`, null, options)
    if (!(await isListed(bucket, key, options))) throw notListed(bucket, key)
    const multipart = { key, multipartId: await bucket.createMultipart(key, {}, options) }
    for await (const _ of bucket.multiparts(key, options)) break
    await bucket.abort(multipart, options)
  } catch (error) {
    await bucket.delete(key, options).catch(() => {})
    throw error
  }
  await bucket.delete(key, options)
}

/** What the service does with conditions that it should not, or null. */
async function fenceFault(
  bucket: Bucket,
  key: string,
  version: string | null,
  options: CallOptions,
): Promise<string | null> {
  if (version === null) return 'If-None-Match: * was refused for an object that is not there'
  if ((await bucket.put(key, probe(2), { ifNoneMatch: '*' }, options)) !== null) return 'If-None-Match is ignored'
  const next = await bucket.put(key, probe(3), { ifMatch: version }, options)
  if (next === null) return 'If-Match was refused for the right version'
  if ((await bucket.put(key, probe(4), { ifMatch: version }, options)) !== null) return 'If-Match is ignored'
  return null
}

/** Bytes that differ, so that their ETags do. */
function probe(number: number): Uint8Array {
  return new TextEncoder().encode(`fileloft probe ${number}\n`)
}

/** Some list a little later. */
async function isListed(bucket: Bucket, key: string, options: CallOptions): Promise<boolean> {
  for (let look = 1; look <= 3; look++) {
    if (look > 1) await new Promise((resolve) => setTimeout(resolve, look * 250))
    for await (const object of bucket.list(key, options)) if (object.key === key) return true
  }
  return false
}

/** Of SeaweedFS with a double slash in its prefix, or a backslash. What is not listed is never swept. */
function notListed({ name }: Bucket, key: string): StoreError {
  const what = `${name}: ${key} was written, but is not listed under that name`
  return new StoreError(
    'unavailable',
    `${what}: choose a prefix of letters, digits, dashes and single slashes, or a service that lists at once`,
  )
}

function notFenced({ name }: Bucket, fault: string): StoreError {
  return new StoreError(
    'unavailable',
    `${name}: the service does not honour conditional writes (${fault}), by which a process that lost its lock is kept ` +
      'from overwriting its successor: use another service, or set allowUnfenced',
  )
}
