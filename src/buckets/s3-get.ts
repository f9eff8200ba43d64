/** Reading objects. */
import { StoreError } from '../errors.ts'
import type { ByteRange, ObjectInfo, StoredBytes } from '../objects/bucket.ts'
import { sizeOf, versionOf } from './s3-answers.ts'
import type { Answer, S3Client } from './s3-client.ts'
import { brokenError } from './s3-errors.ts'

export async function getObject(
  client: S3Client,
  key: string,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<StoredBytes | null> {
  const answer = await get(client, key, range, signal)
  if (answer === null || answer.refusal?.status === 416) {
    const info = await headObject(client, key, signal)
    return info === null ? null : { ...info, bytes: new Uint8Array(0) }
  }
  const { response, refusal, failure } = answer
  if (refusal?.code === 'NoSuchKey') return null
  if (refusal !== null) throw failure()
  const size = sizeOf(response, client.name)
  const bytes = new Uint8Array(await client.receive({ action: 'GetObject', signal }, () => response.arrayBuffer()))
  expectLength(client, bytes.length, range, size)
  return { bytes, size, version: versionOf(response, client.name) }
}

/** As a stream. @throws StoreError `corrupt` when there is no such object. */
export async function* readObject(
  client: S3Client,
  key: string,
  range: ByteRange,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const answer = await get(client, key, range, signal)
  if (answer === null || answer.refusal?.status === 416) return
  const { response, refusal, failure } = answer
  if (refusal?.code === 'NoSuchKey') throw new StoreError('corrupt', `${client.name} has no object ${key}`)
  if (refusal !== null) throw failure()
  const size = sizeOf(response, client.name)
  const reader = response.body?.getReader()
  let length = 0
  try {
    while (reader !== undefined) {
      let piece
      try {
        piece = await reader.read()
      } catch (error) {
        throw brokenError(error, 'GetObject', client.name, signal)
      }
      if (piece.done) break
      length += piece.value.length
      yield piece.value
    }
    expectLength(client, length, range, size)
  } finally {
    // Ends the transfer where nobody reads on.
    await reader?.cancel().catch(() => {})
  }
}

/**
 * One byte is read instead of a HEAD: only an answer with a body tells a missing object from a missing bucket, and a
 * proxy's page from either.
 */
export async function headObject(client: S3Client, key: string, signal: AbortSignal): Promise<ObjectInfo | null> {
  const first = await get(client, key, { start: 0, end: 1 }, signal)
  if (first?.refusal?.code === 'NoSuchKey') return null
  // Empty: there is no first byte.
  const empty = first === null || first.refusal?.status === 416
  const answer = empty ? await client.send({ action: 'HeadObject', method: 'HEAD', key, signal }) : first
  const { response, refusal, failure } = answer
  if (empty && refusal?.status === 404) return null
  if (refusal !== null) throw failure()
  await client.receive({ action: 'HeadObject', signal }, () => response.arrayBuffer())
  return { size: sizeOf(response, client.name), version: versionOf(response, client.name) }
}

/** Null where the range is empty, which no header can say. */
async function get(
  client: S3Client,
  key: string,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Answer | null> {
  if (range !== null && range.end <= range.start) return null
  const headers = range === null ? {} : { range: `bytes=${range.start}-${range.end - 1}` }
  const answer = await client.send({ action: 'GetObject', method: 'GET', key, headers, signal })
  if (range !== null && answer.response.status === 200) {
    await answer.response.body?.cancel()
    throw new StoreError('unavailable', `${client.name}: the service does not honour ranges`)
  }
  return answer
}

/** A connection that broke may look like the end. */
function expectLength(client: S3Client, length: number, range: ByteRange | null, size: number): void {
  const wanted = range === null ? size : Math.min(range.end, size) - range.start
  if (length === wanted) return
  const what = `${client.name}: ${length} bytes came instead of ${wanted}`
  throw new StoreError('unavailable', what, { transient: true })
}
