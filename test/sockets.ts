/** Requests over real sockets: `fetch` and `node:http` in front, Node's adapter behind. */
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Platform, TusHandler } from '../src/index.ts'
import { giveBodyBlock } from '../src/node/body-blocks.ts'
import { nodeListener } from '../src/node/listener.ts'
import type { PlatformOptions } from '../src/node/platform.ts'
import { spoilChunk } from './in-process.ts'
import type { Connection, Transport } from './suite-context.ts'
import type { Init } from './suites/support.ts'
import { counted } from './support/counted.ts'

/** @param options What the server asks of Node's adapter. */
export function sockets(name: string, options: PlatformOptions = {}): Transport {
  return { name, capabilities: { trailers: true, answerLength: true }, open: (handler) => open(handler, options) }
}

function freeChunk(chunk: Uint8Array): void {
  spoilChunk(chunk)
  giveBodyBlock(chunk)
}

async function open(handler: TusHandler, options: PlatformOptions): Promise<Connection> {
  let taken = 0
  /** Bytes taken of each streamed body, by the number that goes with it in a header. */
  const takenOf = new Map<string, number>()
  const numbers = new WeakMap<ReadableStream, string>()
  const number = (body: Init['body']): Record<string, string> => {
    if (!(body instanceof ReadableStream)) return {}
    const name = numbers.get(body) ?? String(takenOf.size)
    numbers.set(body, name)
    takenOf.set(name, takenOf.get(name) ?? 0)
    return { 'X-Test-Body': name }
  }
  const counting = Object.assign(
    (request: Request, platform?: Platform) => {
      const name = request.headers.get('x-test-body')
      const count = (size: number) => {
        taken += size
        if (name !== null) takenOf.set(name, (takenOf.get(name) ?? 0) + size)
      }
      const body = platform?.body && counted(platform.body, count)
      return handler(request, platform && { ...platform, ...(body && { body }), freeChunk })
    },
    { extensions: handler.extensions, sweep: () => handler.sweep(), close: () => handler.close() },
  )
  const server = createServer({ requestTimeout: 0 }, nodeListener(counting, options))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin = `http://127.0.0.1:${port}`
  return {
    origin,
    fetch: async (target, init) => {
      if (init.trailers !== undefined) return await rawFetch(port, new URL(target, origin).pathname, init)
      const { method = 'GET', body, signal } = init
      const headers = { ...init.headers, ...number(body) }
      const request: RequestInit & { duplex?: 'half' } = {
        method,
        headers,
        redirect: 'manual',
        ...(body === undefined ? {} : { body, duplex: 'half' }),
        ...(signal === undefined ? {} : { signal }),
      }
      return await fetch(new URL(target, origin), request)
    },
    fetchRaw: (path, init) => rawFetch(port, path, init),
    taken(body) {
      const name = body === undefined ? undefined : numbers.get(body)
      if (body === undefined) return taken
      return name === undefined ? 0 : (takenOf.get(name) ?? 0)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A request that `fetch` would not make: any path, trailers. */
function rawFetch(port: number, path: string, init: Init): Promise<Response> {
  const { method = 'GET', headers = {}, body, trailers, signal } = init
  return new Promise((resolve, reject) => {
    const sent: Record<string, string> = { ...headers }
    if (body instanceof Uint8Array) sent['Content-Length'] = String(body.length)
    else if (body !== undefined) {
      if (sent['Content-Length'] === undefined) sent['Transfer-Encoding'] = 'chunked'
    } else if (method !== 'GET' && method !== 'HEAD') sent['Content-Length'] = '0'
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers: sent, agent: false, signal })
    request.on('error', reject)
    request.on('response', (incoming) => {
      const noBody = [204, 205, 304].includes(incoming.statusCode ?? 0) || method === 'HEAD'
      if (noBody) incoming.resume()
      // Node's stream types and the global ones are the same streams under two names.
      const stream = noBody ? null : (Readable.toWeb(incoming) as unknown as ReadableStream<Uint8Array>)
      resolve(new Response(stream, { status: incoming.statusCode ?? 0, headers: toHeaders(incoming.headers) }))
    })
    const send = async (): Promise<void> => {
      if (body instanceof Uint8Array) request.write(body)
      else if (body !== undefined) {
        request.flushHeaders()
        for await (const chunk of body) request.write(chunk)
      }
      if (trailers !== undefined) request.addTrailers(trailers)
      request.end()
    }
    send().catch((error: unknown) => request.destroy(error instanceof Error ? error : new Error('the body broke')))
  })
}

function toHeaders(incoming: IncomingHttpHeaders): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming)) {
    for (const each of Array.isArray(value) ? value : [value ?? '']) headers.append(name, each)
  }
  return headers
}
