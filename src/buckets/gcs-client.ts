/**
 * Requests to the JSON API. The Storage client gives the endpoint and the access tokens; its own calls cannot be ended
 * early, and its uploads cost about twice the CPU time of a plain request (the global `fetch` six times).
 */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { pipeline, type Readable } from 'node:stream'
import { Storage, type StorageOptions } from '@google-cloud/storage'
import type { CallOptions } from '../objects/bucket.ts'
import type { GcsOptions } from '../stores/gcs.ts'
import { answerError, toAuthError } from './gcs-errors.ts'

export interface GcsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below the endpoint, encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: GcsBody
}

/** Pieces that are sent one after the other, without being copied; or a stream of known size. */
export type GcsBody = readonly Uint8Array[] | { readonly stream: Readable; readonly size: number }

export interface GcsClient {
  /** The answer, whose body is still to come. @throws GcsError when it is no success. */
  readonly send: (request: GcsRequest, options: CallOptions) => Promise<IncomingMessage>
  /** The answer's body. */
  readonly text: (request: GcsRequest, options: CallOptions) => Promise<string>
  /** The answer's body, which is JSON; only a look tells whether it is like `T`. */
  readonly json: <T>(request: GcsRequest, options: CallOptions) => Promise<Partial<T>>
}

/**
 * @param name Of the bucket, for messages.
 * @throws TypeError when the endpoint is not usable.
 */
export function gcsClient(options: GcsOptions, name: string): GcsClient {
  const storage = options.storage ?? new Storage(storageOptions(options))
  const base = baseOf(storage.apiEndpoint)
  const exchange = base.startsWith('http:') ? httpRequest : httpsRequest
  const isAnonymous = storage.customEndpoint && storage.useAuthWithCustomEndpoint !== true

  async function authorization(url: string, signal: AbortSignal): Promise<Record<string, string>> {
    if (isAnonymous) return {}
    try {
      return Object.fromEntries(await abortable(storage.authClient.getRequestHeaders(url), signal))
    } catch (error) {
      throw signal.aborted ? error : toAuthError(error, name)
    }
  }

  async function send({ method, path, query, headers, body }: GcsRequest, { signal }: CallOptions) {
    const url = `${base}${path}${queryOf(query)}`
    const length = body === undefined ? {} : { 'content-length': String(sizeOf(body)) }
    const all = { ...headers, ...length, ...(await authorization(url, signal)) }
    const outgoing = exchange(url, { method, headers: all, signal })
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve).on('error', reject)
      if (body !== undefined && 'stream' in body) {
        pipeline(body.stream, outgoing, (error) => {
          if (error) reject(error)
        })
      } else {
        for (const piece of body ?? []) outgoing.write(piece)
        outgoing.end()
      }
    })
    const { statusCode = 0 } = answer
    if (statusCode >= 200 && statusCode < 300) return answer
    try {
      throw answerError(statusCode, await textOf(answer))
    } finally {
      // Nobody wants to hear the rest of what was refused.
      if (!outgoing.writableFinished) outgoing.destroy()
    }
  }

  const text = async (request: GcsRequest, call: CallOptions) => textOf(await send(request, call))
  return {
    send,
    text,
    async json<T>(request: GcsRequest, call: CallOptions) {
      const found = await text(request, call)
      try {
        return JSON.parse(found) as Partial<T>
      } catch {
        throw answerError(502, `an answer that is not JSON: ${found}`)
      }
    },
  }
}

function storageOptions({ endpoint, keyFilename, credentials, projectId }: GcsOptions): StorageOptions {
  return {
    ...(endpoint !== undefined && {
      apiEndpoint: baseOf(endpoint),
      useAuthWithCustomEndpoint: /^https:/i.test(endpoint),
    }),
    ...(keyFilename !== undefined && { keyFilename }),
    ...(credentials !== undefined && { credentials }),
    ...(projectId !== undefined && { projectId }),
    retryOptions: { autoRetry: false, maxRetries: 0 },
  }
}

function baseOf(endpoint: string): string {
  const url = URL.parse(endpoint)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('gcs: endpoint must be an http:// or https:// address without credentials and query')
  }
  return url.href.replace(/\/+$/, '').replace(/\/storage\/v1$/, '')
}

function queryOf(query: GcsRequest['query'] = {}): string {
  const set = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  return set.length === 0 ? '' : `?${set.join('&')}`
}

function sizeOf(body: GcsBody): number {
  return 'stream' in body ? body.size : body.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = ''
  answer.setEncoding('utf8')
  for await (const piece of answer) text += String(piece)
  return text
}

/** The Storage client's own requests, for a token, know no signal. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const ended = Promise.withResolvers<never>()
  const end = () => ended.reject(signal.reason)
  signal.addEventListener('abort', end, { once: true })
  try {
    return await Promise.race([promise, ended.promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}
