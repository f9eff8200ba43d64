/*
 * Calls on one blob. What is told apart by the service's own codes becomes a value here; every other failure is thrown
 * as the SDK throws it.
 */
import type { BlobDownloadResponseParsed, BlobHTTPHeaders, BlockBlobClient } from '@azure/storage-blob'
import type { ByteRange, ObjectHeaders, ObjectInfo, PutOptions } from '../objects/bucket.ts'
import { multipartOf } from './azure-blocks.ts'
import { codeOf, statusOf } from './azure-errors.ts'
import { despiteLease } from './azure-lease.ts'

/** An answer with the bytes still to come; `none` where the range holds none; null where there is no blob. */
export async function download(
  blob: BlockBlobClient,
  range: ByteRange | null,
  abortSignal: AbortSignal,
): Promise<BlobDownloadResponseParsed | 'none' | null> {
  if (range === null) return orNull(blob.download(0, undefined, { abortSignal }))
  const { start, end } = range
  // The SDK takes a count of 0 for everything.
  if (end <= start) return 'none'
  try {
    return await orNull(blob.download(start, end - start, { abortSignal }))
  } catch (error) {
    if (statusOf(error) === 416) return 'none'
    throw error
  }
}

type Body = Pick<BlobDownloadResponseParsed, 'readableStreamBody' | 'blobBody'>

/** The bytes of a download: streamed in Node and what is like it, all at once elsewhere. */
export async function* pieces({ readableStreamBody, blobBody }: Body): AsyncIterable<Uint8Array> {
  if (readableStreamBody !== undefined) {
    for await (const piece of readableStreamBody) yield piece as Uint8Array
  } else if (blobBody !== undefined) {
    yield new Uint8Array(await (await blobBody).arrayBuffer())
  }
}

/** All of them. Mostly they are a record's, in one piece, which is then not copied. */
export async function collect(body: Body, size: number): Promise<Uint8Array> {
  let bytes = new Uint8Array(0)
  let filled = 0
  for await (const piece of pieces(body)) {
    if (piece.length === size) return piece
    if (filled === 0) bytes = new Uint8Array(size)
    bytes.set(piece, filled)
    filled += piece.length
  }
  return bytes
}

/** A blob that has blocks only, none of them committed, is not there. */
export function properties(blob: BlockBlobClient, abortSignal: AbortSignal): Promise<ObjectInfo | null> {
  return orNull(
    blob
      .getProperties({ abortSignal })
      .then(({ contentLength = 0, etag = '' }) => ({ size: contentLength, version: etag })),
  )
}

/** The version, or null where the condition does not hold. */
export async function upload(
  blob: BlockBlobClient,
  bytes: Uint8Array,
  { ifMatch, ifNoneMatch, ...headers }: PutOptions,
  abortSignal: AbortSignal,
): Promise<string | null> {
  const conditions = { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch !== undefined && { ifNoneMatch }) }
  try {
    const options = { abortSignal, blobHTTPHeaders: httpHeaders(headers), conditions }
    const { etag } = await despiteLease(blob, abortSignal, () => blob.upload(bytes, bytes.byteLength, options))
    return etag ?? ''
  } catch (error) {
    const code = codeOf(error)
    // 412 alone would not do: it is also the answer where somebody holds a lease.
    if (/^(BlobAlreadyExists|ConditionNotMet|TargetConditionNotMet)$/.test(code)) return null
    if (ifMatch !== undefined && code === 'BlobNotFound') return null
    throw error
  }
}

/** With its snapshots, without which the service would refuse. */
export async function remove(blob: BlockBlobClient, abortSignal: AbortSignal, leaseId?: string): Promise<void> {
  const options = {
    abortSignal,
    deleteSnapshots: 'include',
    conditions: leaseId === undefined ? {} : { leaseId },
  } as const
  const call = () => blob.delete(options)
  await orNull(leaseId === undefined ? despiteLease(blob, abortSignal, call) : call())
}

/** For each block at the blob's name, the multipart that it is of; null for those of other software. */
export async function multipartsAt(
  blob: BlockBlobClient,
  list: 'all' | 'uncommitted',
  abortSignal: AbortSignal,
): Promise<(string | null)[]> {
  const answer = await orNull(blob.getBlockList(list, { abortSignal }))
  const { committedBlocks = [], uncommittedBlocks = [] } = answer ?? {}
  return [...committedBlocks, ...uncommittedBlocks].map(({ name }) => multipartOf(name))
}

export function httpHeaders({ contentType, contentDisposition }: ObjectHeaders): BlobHTTPHeaders {
  return {
    ...(contentType !== undefined && { blobContentType: contentType }),
    ...(contentDisposition !== undefined && { blobContentDisposition: contentDisposition }),
  }
}

/** Of the codes with status 404 this one alone is about the blob; the others are about a container or an account. */
export async function orNull<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call
  } catch (error) {
    if (codeOf(error) === 'BlobNotFound') return null
    throw error
  }
}
