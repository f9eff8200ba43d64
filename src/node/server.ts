import type { SecureContextOptions } from 'node:tls'
import { getRequestListener } from '@hono/node-server'
import { createTusHandler } from '../handler.ts'
import type { TusHandler } from '../options.ts'
import { logWhenDone, type RequestNotes } from './access-log.ts'
import { type Address, formatAddress } from './address.ts'
import { createApp } from './app.ts'
import type { Config } from './config.ts'
import { handlerOptions } from './handler-options.ts'
import { tendHeap } from './heap.ts'
import { createHttp } from './http.ts'
import { closeUnlessComplete } from './linger.ts'
import { listen, type PortSharing } from './listen.ts'
import type { Loggers } from './loggers.ts'
import { type Incoming, nodePlatform, type Outgoing } from './platform.ts'
import { hostOf } from './request.ts'
import { cutWhenStuck } from './stuck.ts'
import { openStorage, type Storage } from './storage.ts'
import { readTls } from './tls.ts'

export interface RunningServer {
  /** Where it listens, as people write it: `http://127.0.0.1:8080`, `unix:/run/fileloft.sock`. */
  readonly url: string
  /** The same for the server of another thread; null for a Unix socket. */
  readonly address: Address | null
  readonly handler: TusHandler
  /** Takes another certificate for connections from now on. */
  setTls(tls: SecureContextOptions): void
  /**
   * Stops accepting, lets running uploads store what they have and answer, and ends what is left when the time is
   * over. Never rejects. False when work on a request, not just its connection, had to be given up.
   */
  close(): Promise<boolean>
}

export interface ServerOptions {
  /** Where uploads are kept. @default what the configuration says */
  readonly storage?: Storage
  /** Whether other threads listen on the port as well. @default 'alone' */
  readonly sharing?: PortSharing
}

/**
 * Starts to serve, in the main thread or in another one. What the process does once is not here: see service.ts.
 * @throws Error (StoreError for the store) that says in one line why it cannot.
 */
export async function startServer(
  config: Config,
  logs: Loggers,
  { storage, sharing = 'alone' }: ServerOptions = {},
): Promise<RunningServer> {
  const { store, locker } = storage ?? (await openStorage(config))
  const tls = readTls(config)
  const notes = new WeakMap<Request, RequestNotes>()
  const handler = createTusHandler({
    ...handlerOptions(config),
    store,
    locker,
    onCreate({ upload, request }) {
      const note = notes.get(request)
      if (note !== undefined) note.created = upload.id
    },
    onError(error, request) {
      const where = request === null ? {} : { method: request.method, path: new URL(request.url).pathname }
      logs.handler.error({ ...where, err: error }, 'failure')
    },
  })
  const mount = config.basePath.replace(/\/$/, '')
  let closing = false
  const heap = tendHeap()
  const app = createApp(handler, store, mount, logs, () => closing)

  const onRequest = (incoming: Incoming, outgoing: Outgoing) => {
    heap.countRequest()
    const platform = nodePlatform(incoming, outgoing, heap.countBytes)
    const note = logWhenDone(logs.http, mount, incoming, outgoing, platform)
    incoming.headers['stream' in incoming ? ':authority' : 'host'] = hostOf(incoming)
    // About the server as a whole; Fetch has no URL for that.
    if (incoming.url === '*' && incoming.method === 'OPTIONS') incoming.url = config.basePath
    const answer = async (request: Request) => {
      if (request.method === 'POST') notes.set(request, note)
      const response = await app(request, platform)
      if (closing && 'shouldKeepAlive' in outgoing) outgoing.shouldKeepAlive = false
      closeUnlessComplete(incoming, outgoing)
      cutWhenStuck(incoming, outgoing, config.idleTimeout * 1000)
      return response
    }
    // One for each request costs less than finding in a map what belongs to it.
    void getRequestListener(answer, listenerOptions)(incoming, outgoing)
  }

  const http = createHttp(onRequest, { tls, h2c: config.enableH2c })
  const address = await listen(http.server, config, sharing)
  http.server.on('error', (error) => logs.server.error({ err: error }, 'server error'))
  const protocol = tls === null ? 'http://' : 'https://'

  return {
    url: typeof address === 'string' ? `unix:${address}` : `${protocol}${formatAddress(address)}`,
    address: typeof address === 'string' ? null : address,
    handler,
    setTls: (next) => http.setTls(next),
    async close() {
      closing = true
      const gone = http.close()
      const timeoutMs = config.shutdownTimeout * 1000
      let isDone = false
      const done = handler.close().then(() => {
        isDone = true
      })
      const inTime = await within(timeoutMs, Promise.all([done, gone]))
      if (inTime) return true
      logs.server.warn(`requests were still running after ${config.shutdownTimeout} s`)
      http.destroy()
      return isDone
    },
  }
}

const listenerOptions = {
  hostname: 'localhost',
  // `closeUnlessComplete` does it, and tells the client before.
  autoCleanupIncoming: false,
  // Its own Response costs a tenth less of a request; this is for a process that is nothing but this server.
  overrideGlobalObjects: true,
  errorHandler: () => new Response('The request cannot be understood\n', { status: 400 }),
}

/** Whether it settles in time. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), timeoutMs)
  work.then(
    () => resolve(true),
    () => resolve(true),
  )
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}
