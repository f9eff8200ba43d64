import type { Listen } from './transport.ts'

export const listen: Listen = async (handler) => {
  const stop = new AbortController()
  const server = Deno.serve({ port: 0, hostname: '127.0.0.1', signal: stop.signal, onListen() {} }, (request) =>
    handler(request),
  )
  return {
    port: server.addr.port,
    async close() {
      stop.abort()
      await server.finished
    },
  }
}
