import http from 'node:http'
import https from 'node:https'
import type { S3Fetch, S3RequestInit } from '../stores/s3.ts'

/** Answers up to this size are read at once instead of being streamed. */
const smallBytes = 64 * 1024

/** Milliseconds after which an unused connection is closed: before the storage does so while a request is on its way. */
const idleMs = 4000

/**
 * A `fetch` for requests to storage, over `node:http`: bytes go from their buffer to the socket as they are, where the
 * global one copies them first. Connections are used again. Redirects are not followed, answers not decompressed.
 */
export function storageFetch(): S3Fetch {
  const settings = { keepAlive: true, timeout: idleMs }
  const agents = { http: new http.Agent(settings), https: new https.Agent(settings) }

  const send = (address: string, init: S3RequestInit): Promise<Response> =>
    new Promise<Response>((resolve, reject) => {
      const { method, headers, body, stream, signal } = init
      signal.throwIfAborted()
      const url = new URL(address)
      const secure = url.protocol === 'https:'
      const request = (secure ? https : http).request({
        agent: secure ? agents.https : agents.http,
        method,
        // Without the brackets of an IPv6 address.
        hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
        port: url.port,
        path: url.pathname + url.search,
        headers: { host: url.host, ...Object.fromEntries(headers), ...lengthOf(init) },
        signal,
      })
      const fail = (error: unknown): void => reject(signal.aborted ? signal.reason : error)
      request.on('error', fail)
      request.on('response', (incoming) => {
        respond(incoming, method).then(resolve, fail)
        // Nobody wants the rest of what has its answer: a refusal.
        incoming.on('end', () => {
          if (!request.writableEnded) request.destroy()
        })
      })
      if (stream === undefined) request.end(body)
      else pump(stream, request).catch((error: unknown) => request.destroy(toError(error)))
    })
  return Object.assign(send, { sendsStreams: true })
}

type Stream = NonNullable<S3RequestInit['stream']>

/** Sends pieces as they come and the socket takes them. */
async function pump({ size, pieces }: Stream, request: http.ClientRequest): Promise<void> {
  let sent = 0
  for await (const piece of pieces()) {
    if (request.destroyed) return
    sent += piece.byteLength
    if (request.write(piece)) continue
    await new Promise<void>((resolve) => {
      const go = (): void => {
        request.off('drain', go).off('close', go)
        resolve()
      }
      request.on('drain', go).on('close', go)
    })
  }
  // The other side would wait for the rest.
  if (sent !== size) throw new Error(`${sent} bytes came of ${size}`)
  request.end()
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** Known beforehand, so that nothing is sent in chunks, which S3 refuses. */
function lengthOf({ method, body, stream }: S3RequestInit): Record<string, string> {
  if (stream !== undefined) return { 'content-length': String(stream.size) }
  if (body !== undefined) return { 'content-length': String(Buffer.byteLength(body)) }
  return method === 'PUT' || method === 'POST' ? { 'content-length': '0' } : {}
}

async function respond(incoming: http.IncomingMessage, method: string): Promise<Response> {
  const status = incoming.statusCode ?? 0
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers.set(name, typeof value === 'string' ? value : value.join(', '))
  }
  // Whoever reads hears of it by the read that fails.
  incoming.on('error', () => {})
  const length = incoming.headers['content-length']
  if (method === 'HEAD' || status === 204 || status === 304 || length === '0') {
    incoming.resume()
    return new Response(null, { status, headers })
  }
  if (length === undefined || Number(length) > smallBytes) return new Response(stream(incoming), { status, headers })
  const pieces: Buffer[] = []
  for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece)
  return new Response(Buffer.concat(pieces), { status, headers })
}

function stream(incoming: http.IncomingMessage): ReadableStream<Uint8Array> {
  const pieces = incoming.iterator()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = (await pieces.next()) as IteratorResult<Uint8Array, undefined>
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel() {
        incoming.destroy()
      },
    },
    { highWaterMark: 0 },
  )
}
