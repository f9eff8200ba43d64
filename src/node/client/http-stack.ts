import { createReadStream, ReadStream } from 'node:fs'
import type { ClientRequest } from 'node:http'
import { DefaultHttpStack, type HttpRequest, type HttpResponse, type HttpStack } from 'tus-js-client'
import { type ChecksumAlgorithm, createHasher } from '../../body/checksum.ts'
import { explainError, UploadError } from './explain.ts'

/** After this long without a byte either way a connection counts as dead. */
const silenceMs = 120_000

/**
 * tus-js-client's own way of sending requests, with some things added: a checksum for every body, an end for
 * connections that went silent, and errors where it would crash (the file cannot be read, the server names a strange URL)
 * or wait for ever (the answer breaks off).
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
      const failed = Promise.withResolvers<never>()
      failed.promise.catch(() => (inner.getUnderlyingObject() as ClientRequest | null)?.destroy())
      if (body instanceof ReadStream) {
        body.on('error', (error) => failed.reject(new UploadError(`cannot read it: ${explainError(error)}`)))
      }
      if (body !== null && checksum !== null) {
        const digest = await Promise.race([digestOf(body, checksum), failed.promise])
        inner.setHeader('Upload-Checksum', `${checksum} ${Buffer.from(digest).toString('base64')}`)
      }
      const answer = inner.send(body)
      const request = inner.getUnderlyingObject() as ClientRequest | null
      if (request === null) return answer.catch(failForUrl)
      request.setTimeout(silenceMs, () => request.destroy(new Error(`the server was silent for ${silenceMs / 1000} s`)))
      // Of an answer that breaks off nothing else tells.
      request.on('close', () => failed.reject(new Error('the connection broke')))
      return Promise.race([answer, failed.promise])
    },
  }
}

/** Where an upload is, its server has said. */
function failForUrl(error: unknown): never {
  throw new UploadError(`the server names a URL that cannot be used: ${explainError(error)}`, { cause: error })
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
