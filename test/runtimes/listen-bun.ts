import type { Listen } from './transport.ts'

export const listen: Listen = async (handler) => {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request) => handler(request),
  })
  return { port: server.port ?? 0, close: () => server.stop(true) }
}
