import type { SecureContextOptions } from 'node:tls'
import { getRequestListener, RequestError } from '@hono/node-server'
import { combineHooks } from '../combine.ts'
import { createTusHandler } from '../handler.ts'
import type { UploadEvent } from '../hooks.ts'
import type { TusHandler } from '../options.ts'
import { logWhenDone } from './access-log.ts'
import { type Address, formatAddress } from './address.ts'
import { createApp } from './app.ts'
import type { Config } from './config.ts'
import { type Exchange, exchangeOf, linkExchange, nameAnswer, openExchange } from './exchange.ts'
import { combineFeatures, openFeatures, type RequestContext } from './features.ts'
import { handlerOptions } from './handler-options.ts'
import { tendHeap } from './heap.ts'
import { createHttp } from './http.ts'
import { closeUnlessComplete } from './linger.ts'
import { listen } from './listen.ts'
import type { Loggers } from './loggers.ts'
import type { Incoming, Outgoing } from './platform.ts'
import { hostOf } from './request.ts'
import type { Shared } from './shared.ts'
import { cutWhenStuck } from './stuck.ts'
import { openStorage, type Storage } from './storage.ts'
import { readTls } from './tls.ts'

export interface RunningServer {
  /** Where it listens, as people write it: `http://127.0.0.1:8080`, `unix:/run/fileloft.sock`. */
  readonly url: string
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
  /** What all threads do as one. */
  readonly shared: Shared
  /** Where uploads are kept. @default what the configuration says */
  readonly storage?: Storage
  /**
   * Asked where to listen, once all else is ready, if other threads listen there as well. @default alone, where the
   * configuration says
   */
  readonly sharedAddress?: () => Promise<Address>
}

/**
 * Starts to serve, in the main thread or in another one. What the process does once is not here: see service.ts.
 * @throws Error (StoreError for the store) that says in one line why it cannot.
 */
export async function startServer(
  config: Config,
  logs: Loggers,
  { shared, storage, sharedAddress }: ServerOptions,
): Promise<RunningServer> {
  const opened = storage ?? (await openStorage(config))
  const tls = readTls(config)
  const features = await openFeatures(config, logs, opened, shared)
  const { onReceived, locker, store, wrapHandler } = combineFeatures(features, opened)
  const noteId = ({ upload, request }: UploadEvent) => {
    const exchange = exchangeOf(request)
    if (exchange !== undefined) exchange.created = upload.id
  }
  const plainHandler = createTusHandler({
    ...handlerOptions(config),
    store,
    locker,
    ...combineHooks<RequestContext>([{ onCreated: noteId }, ...features.flatMap(({ hooks }) => hooks ?? [])]),
    onError(error, request) {
      const exchange = exchangeOf(request)
      const where = exchange === undefined ? {} : namesOf(exchange)
      logs.handler.error({ ...where, err: error }, 'failure')
    },
  })
  const handler = wrapHandler(plainHandler)
  const mount = config.basePath.replace(/\/$/, '')
  let closing = false
  const heap = tendHeap()
  const chunks = { onReceived: both(heap.countBytes, onReceived), onFreed: heap.countFreed }
  const app = createApp(handler, { store, mount, logs, features, isClosing: () => closing })

  const onRequest = (incoming: Incoming, outgoing: Outgoing) => {
    heap.countRequest()
    const exchange = openExchange(incoming, outgoing, chunks)
    for (const feature of features) feature.onExchange?.(exchange)
    logWhenDone(logs.http, mount, exchange)
    incoming.headers['stream' in incoming ? ':authority' : 'host'] = hostOf(incoming)
    // About the server as a whole; Fetch has no URL for that.
    if (incoming.url === '*' && incoming.method === 'OPTIONS') incoming.url = config.basePath
    const answer = async (request: Request) => {
      linkExchange(request, exchange)
      const response = await app(request, exchange.platform)
      if (closing && 'shouldKeepAlive' in outgoing) outgoing.shouldKeepAlive = false
      closeUnlessComplete(incoming, outgoing)
      cutWhenStuck(incoming, outgoing, config.idleTimeout * 1000)
      return response
    }
    const errorHandler = (error: unknown) => {
      nameAnswer(exchange)
      closeUnlessComplete(incoming, outgoing)
      if (error instanceof RequestError) return new Response('The request cannot be understood\n', { status: 400 })
      logs.server.error({ ...namesOf(exchange), err: error }, 'request failed')
      return new Response('Internal error\n', { status: 500 })
    }
    // One for each request costs less than finding in a map what belongs to it.
    void getRequestListener(answer, { ...listenerOptions, errorHandler })(incoming, outgoing)
  }

  const http = createHttp(onRequest, { tls, h2c: config.enableH2c })
  const address = await listen(http.server, config, (await sharedAddress?.()) ?? null)
  http.server.on('error', (error) => logs.server.error({ err: error }, 'server error'))
  const protocol = tls === null ? 'http://' : 'https://'

  return {
    url: typeof address === 'string' ? `unix:${address}` : `${protocol}${formatAddress(address)}`,
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
      const ended = Promise.all([done, gone]).then(() => Promise.all(features.map(async ({ close }) => close?.())))
      if (await within(timeoutMs, ended)) return true
      logs.server.warn(`requests were still running after ${config.shutdownTimeout} s`)
      // What there is to log of those requests is logged as they are told.
      await within(1_000, http.destroy())
      return isDone
    },
  }
}

type CountBytes = (size: number) => void

function both(one: CountBytes, other: CountBytes | null): CountBytes {
  if (other === null) return one
  return (size) => {
    one(size)
    other(size)
  }
}

/** What tells in the log which request failed. */
function namesOf({ id, traceId, incoming, path }: Exchange): Readonly<Record<string, string>> {
  return { requestId: id, ...(traceId !== undefined && { traceId }), method: incoming.method ?? '', path }
}

const listenerOptions = {
  hostname: 'localhost',
  // `closeUnlessComplete` does it, and tells the client before.
  autoCleanupIncoming: false,
  // Its own Response costs a tenth less of a request; this is for a process that is nothing but this server.
  overrideGlobalObjects: true,
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
