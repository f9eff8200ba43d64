/** The protocol suites over real sockets: `fetch` and `node:http` in front, Node's adapter behind. */
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { Platform, TusHandler } from '../src/index.ts'
import { toNodeListener } from '../src/node/index.ts'
import { runSuites, type Connection, type Transport } from './run-suites.ts'
import type { Init } from './suites/support.ts'

const sockets: Transport = { name: 'over sockets', capabilities: { trailers: true }, open }

runSuites(sockets)

async function open(handler: TusHandler): Promise<Connection> {
  let taken = 0
  const counting = Object.assign(
    (request: Request, platform?: Platform) => handler(request, platform && counted(platform, (n) => (taken += n))),
    { extensions: handler.extensions, sweep: () => handler.sweep(), close: () => handler.close() },
  )
  const server = createServer({ requestTimeout: 0 }, toNodeListener(counting))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const origin = `http://127.0.0.1:${port}`
  return {
    origin,
    fetch: async (target, init) => {
      if (init.trailers !== undefined) return await rawFetch(port, new URL(target, origin).pathname, init)
      const { method = 'GET', headers = {}, body, signal } = init
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
    taken: () => taken,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** What the adapter says, its body counted as the handler takes it. */
function counted(platform: Platform, onTaken: (size: number) => void): Platform {
  const { body } = platform
  if (body === undefined) return platform
  return {
    ...platform,
    body: {
      [Symbol.asyncIterator]() {
        const iterator = body[Symbol.asyncIterator]()
        return {
          async next() {
            const result = await iterator.next()
            if (result.done !== true) onTaken(result.value.byteLength)
            return result
          },
          async return() {
            return (await iterator.return?.()) ?? { done: true, value: undefined }
          },
        }
      },
    },
  }
}

/** A request that `fetch` would not make: any path, trailers. */
function rawFetch(port: number, path: string, init: Init): Promise<Response> {
  const { method = 'GET', headers = {}, body, trailers, signal } = init
  return new Promise((resolve, reject) => {
    const sent: Record<string, string> = { ...headers }
    if (body instanceof Uint8Array) sent['Content-Length'] = String(body.length)
    else if (body !== undefined) sent['Transfer-Encoding'] = 'chunked'
    else if (method !== 'GET' && method !== 'HEAD') sent['Content-Length'] = '0'
    const request = httpRequest({ host: '127.0.0.1', port, path, method, headers: sent, agent: false, signal })
    request.on('error', reject)
    request.on('response', (incoming) => {
      const noBody = [204, 205, 304].includes(incoming.statusCode ?? 0) || method === 'HEAD'
      if (noBody) incoming.resume()
      // Node's stream types and the global ones are the same streams under two names.
      const stream = noBody ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>)
      resolve(new Response(stream, { status: incoming.statusCode ?? 0, headers: toHeaders(incoming.headers) }))
    })
    const send = async (): Promise<void> => {
      if (body instanceof Uint8Array) request.write(body)
      else if (body !== undefined) for await (const chunk of body) request.write(chunk)
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
