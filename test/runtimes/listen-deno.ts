import type { Listen } from './transport.ts'

/** What is used here of Deno's types, which would replace Node's in all files. */
declare const Deno: {
  serve(
    options: { port: number; hostname: string; signal: AbortSignal; onListen: () => void },
    handler: (request: Request) => Promise<Response>,
  ): { readonly addr: { readonly port: number }; readonly finished: Promise<void> }
}

export const listen: Listen = async (handler) => {
  const stop = new AbortController()
  const options = { port: 0, hostname: '127.0.0.1', signal: stop.signal, onListen() {} }
  const server = Deno.serve(options, (request) => handler(request))
  return {
    port: server.addr.port,
    async close() {
      stop.abort()
      await server.finished
    },
  }
}
