/** The suites over sockets on any runtime: its server behind, the client of client.ts in front. */
import { fromStream } from '../../src/body/receive.ts'
import type { Platform, Store, TusHandler } from '../../src/index.ts'
import { counted } from '../support/counted.ts'
import type { Connection, Transport } from '../suite-context.ts'
import type { Capabilities, Init } from '../suites/support.ts'
import { exchange } from './client.ts'
import type { Dial, Wire } from './wire.ts'

/** A server of the runtime on a free port, with nothing but the handler behind it. */
export type Listen = (handler: TusHandler) => Promise<Listening>

export interface Listening {
  readonly port: number
  /** @default http */
  readonly scheme?: 'https'
  /** What it is asked by, port and all. @default 127.0.0.1 and its port */
  readonly host?: string
  /** What each request has to carry to reach this handler. */
  readonly headers?: Readonly<Record<string, string>>
  close(): Promise<void>
}

export interface Runtime {
  readonly name: string
  readonly capabilities: Capabilities
  readonly listen: Listen
  readonly dial: Dial
}

export function transportOf({ name, capabilities, listen, dial }: Runtime): Transport {
  return { name, capabilities, open: (handler) => openConnection(handler, listen, dial) }
}

async function openConnection(handler: TusHandler, listen: Listen, dial: Dial): Promise<Connection> {
  const count = countBodies(handler)
  const server = await listen(count.handler)
  const origin = `${server.scheme ?? 'http'}://${server.host ?? `127.0.0.1:${server.port}`}`
  const open = new Set<Wire>()
  const fetchRaw = (path: string, init: Init): Promise<Response> =>
    exchange(
      dial,
      server.port,
      path,
      { ...init, headers: { ...init.headers, ...server.headers, ...count.mark(init.body) } },
      open,
    )
  return {
    origin,
    fetch(target, init) {
      const { pathname, search } = new URL(target, origin)
      return fetchRaw(pathname + search, init)
    },
    fetchRaw,
    taken: (body) => count.taken(body),
    async close() {
      for (const wire of open) wire.destroy()
      await server.close()
    },
  }
}

/** Tells how much of each streamed body the handler has taken, by a number that goes with it in a header. */
function countBodies(handler: TusHandler) {
  let total = 0
  const counts = new Map<string, number>()
  const numbers = new WeakMap<ReadableStream, string>()
  const counting = (request: Request, platform?: Platform): Promise<Response> => {
    const name = request.headers.get('x-test-body')
    // A request without a streamed body goes untouched.
    if (name === null) return handler(request, platform)
    const body = counted(platform?.body ?? fromStream(request.body), (size) => {
      total += size
      counts.set(name, (counts.get(name) ?? 0) + size)
    })
    return handler(request, { ...platform, body })
  }
  return {
    handler: Object.assign(counting, {
      extensions: handler.extensions,
      sweep: (store?: Store) => handler.sweep(store),
      close: () => handler.close(),
    }) satisfies TusHandler,
    mark(body: Init['body']): Record<string, string> {
      if (!(body instanceof ReadableStream)) return {}
      const name = numbers.get(body) ?? String(counts.size)
      numbers.set(body, name)
      counts.set(name, counts.get(name) ?? 0)
      return { 'X-Test-Body': name }
    },
    taken(body?: ReadableStream<Uint8Array>): number {
      if (body === undefined) return total
      return counts.get(numbers.get(body) ?? '') ?? 0
    },
  }
}
