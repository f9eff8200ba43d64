import { createReadStream, ReadStream } from 'node:fs'
import type { ClientRequest } from 'node:http'
import { DefaultHttpStack, type HttpRequest, type HttpResponse, type HttpStack } from 'tus-js-client'
import { type ChecksumAlgorithm, createHasher } from '../../body/checksum.ts'
import { explainError, UploadError } from './explain.ts'

/** After this long without a byte either way a connection counts as dead. */
const silenceMs = 120_000

/**
 * tus-js-client's own way of sending requests, with three things added: a checksum for every body, an end for
 * connections that went silent, and an error instead of a crash when the file cannot be read.
 */
export function createHttpStack(checksum: ChecksumAlgorithm | null): HttpStack {
  const stack = new DefaultHttpStack({})
  return {
    getName: () => 'fileloft',
    createRequest: (method, url) => extend(stack.createRequest(method, url), checksum),
  }
}

function extend(inner: HttpRequest, checksum: ChecksumAlgorithm | null): HttpRequest {
  return {
    getMethod: () => inner.getMethod(),
    getURL: () => inner.getURL(),
    setHeader: (name, value) => inner.setHeader(name, value),
    getHeader: (name) => inner.getHeader(name),
    setProgressHandler: (handler) => inner.setProgressHandler(handler),
    getUnderlyingObject: () => inner.getUnderlyingObject() as unknown,
    abort: () => inner.abort(),
    async send(body: ReadStream | Buffer | null): Promise<HttpResponse> {
      const unreadable = Promise.withResolvers<never>()
      if (body instanceof ReadStream) {
        body.on('error', (error) => unreadable.reject(new UploadError(`cannot read it: ${explainError(error)}`)))
      }
      if (body !== null && checksum !== null) {
        const digest = await Promise.race([digestOf(body, checksum), unreadable.promise])
        inner.setHeader('Upload-Checksum', `${checksum} ${Buffer.from(digest).toString('base64')}`)
      }
      const answer = inner.send(body)
      const request = inner.getUnderlyingObject() as ClientRequest
      request.setTimeout(silenceMs, () => request.destroy(new Error(`the server was silent for ${silenceMs / 1000} s`)))
      unreadable.promise.catch(() => request.destroy())
      return Promise.race([answer, unreadable.promise])
    },
  }
}

/** Reads the part of the file a second time: a chunk may be larger than what fits into memory. */
async function digestOf(body: ReadStream | Buffer, algorithm: ChecksumAlgorithm): Promise<Uint8Array> {
  const hasher = createHasher(algorithm)
  if (body instanceof ReadStream) {
    const { path, start, end } = body as ReadStream & { start?: number; end?: number }
    for await (const chunk of createReadStream(path, { start, end, highWaterMark: 1024 * 1024 })) {
      await hasher.update(chunk as Buffer)
    }
  } else await hasher.update(body)
  return hasher.digest()
}
