import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Address } from '../address.ts'

/** The metrics of the process in Prometheus's text format. @throws Error when one of its threads does not answer. */
export type Gather = () => Promise<string>

const contentType = 'text/plain; version=0.0.4; charset=utf-8'

/** Answers a scrape. */
export async function scrape(gather: Gather): Promise<Response> {
  try {
    return new Response(await gather(), { headers: { 'Content-Type': contentType, 'Cache-Control': 'no-store' } })
  } catch (error) {
    // Without the counts of one thread the sums would go back, which Prometheus takes for a restart.
    const reason = error instanceof Error ? error.message : String(error)
    return new Response(`The metrics cannot be gathered: ${reason}\n`, { status: 503 })
  }
}

export interface MetricsServer {
  /** `127.0.0.1:9090` */
  readonly address: string
  close(): Promise<void>
}

/**
 * Serves `GET /metrics` on a port of its own, and nothing else.
 * @throws Error that says in one line why it cannot listen.
 */
export async function serveMetrics({ host, port }: Address, gather: Gather): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    void answer(request.method ?? '', request.url ?? '', gather).then(async (result) => {
      response.writeHead(result.status, Object.fromEntries(result.headers))
      response.end(request.method === 'HEAD' ? '' : await result.text())
    })
  })
  const name = host.includes(':') ? `[${host}]` : host
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot listen for metrics on ${name}:${port}: ${reason}`, { cause: error })
  }
  // It shall not keep a process that has nothing else to do.
  server.unref()
  return {
    address: `${name}:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(method: string, url: string, gather: Gather): Promise<Response> {
  if (!/^\/metrics(\?|$)/.test(url)) return new Response('Not found\n', { status: 404 })
  if (method !== 'GET' && method !== 'HEAD') return new Response(null, { status: 405, headers: { Allow: 'GET, HEAD' } })
  return scrape(gather)
}
