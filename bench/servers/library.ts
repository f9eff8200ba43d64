/** The handler as an application mounts it, on the filesystem store with its defaults: on Node, Bun and Deno. */
import { createServer } from 'node:http'
import { join } from 'node:path'
import { createTusHandler } from '../../src/handler.ts'
import { fsLocker } from '../../src/lockers/fs.ts'
import { fileStore } from '../../src/stores/fs.ts'

interface Fetching {
  readonly hostname: string
  readonly port: number
}

declare const Deno: {
  serve(
    options: Fetching & { readonly onListen: (address: { readonly port: number }) => void },
    fetch: (request: Request) => Promise<Response>,
  ): unknown
}

const directory = process.argv[2] ?? './files'
const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory }),
  locker: fsLocker({ directory: join(directory, '.locks') }),
})
const place: Fetching = { hostname: '127.0.0.1', port: 0 }
const tell = (port: number | undefined) => console.log(`listening on 127.0.0.1:${port}`)
process.once('SIGTERM', () => process.exit())

if ('Deno' in globalThis) {
  Deno.serve({ ...place, onListen: ({ port }) => tell(port) }, (request) => handler(request))
} else if ('Bun' in globalThis) {
  const limits = { idleTimeout: 0, maxRequestBodySize: Number.MAX_SAFE_INTEGER }
  tell(Bun.serve({ ...place, ...limits, fetch: (request) => handler(request) }).port)
} else {
  const { toNodeListener } = await import('../../src/node/listener.ts')
  const server = createServer({ requestTimeout: 0, noDelay: true }, toNodeListener(handler))
  server.listen(place.port, place.hostname, () => {
    const address = server.address()
    if (address !== null && typeof address === 'object') tell(address.port)
  })
}
