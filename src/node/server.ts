import { getRequestListener } from '@hono/node-server'
import { combineHooks } from '../combine.ts'
import { createTusHandler } from '../handler.ts'
import type { UploadEvent } from '../hooks.ts'
import { logWhenDone } from './access-log.ts'
import type { Address } from './address.ts'
import { createApp } from './app.ts'
import type { Config } from './config.ts'
import type { MetricsServer } from './metrics/endpoint.ts'
import { type Exchange, exchangeOf, linkExchange, openExchange } from './exchange.ts'
import { combineFeatures, openFeatures, type RequestContext } from './features.ts'
import { handlerOptions } from './handler-options.ts'
import { createHttp } from './http.ts'
import { closeUnlessComplete } from './linger.ts'
import { listen } from './listen.ts'
import type { Logs } from './logger.ts'
import type { Incoming, Outgoing } from './platform.ts'
import { quotaLimits } from './quota/limits.ts'
import { hostOf } from './request.ts'
import { createShared, type Shared } from './shared.ts'
import { cutWhenStuck } from './stuck.ts'
import { openStorage, type Storage } from './storage.ts'
import { startSweeping } from './sweeper.ts'
import { readTls } from './tls.ts'

export interface RunningServer {
  /** Where it listens: `127.0.0.1:8080`, or the path of a Unix socket. */
  readonly address: string
  /** Reads the certificate again; a bad one is logged and the present one stays. */
  reload(): void
  /**
   * Stops accepting, lets running uploads store what they have and answer, and ends what is left when the time is
   * over. Never rejects. False when work on a request, not just its connection, had to be given up.
   */
  close(): Promise<boolean>
}

/**
 * Starts the server.
 * @throws Error (StoreError for the store) that says in one line why it cannot.
 */
export async function startServer(config: Config, logs: Logs, storage?: Storage): Promise<RunningServer> {
  const opened = storage ?? (await openStorage(config))
  const { about, notice, full } = opened
  const tls = readTls(config)
  const shared = createShared(quotaLimits(config))
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
  const app = createApp(handler, { store, mount, logs, features, isClosing: () => closing })

  const onRequest = (incoming: Incoming, outgoing: Outgoing) => {
    const exchange = openExchange(incoming, outgoing, onReceived)
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
    // One for each request costs less than finding in a map what belongs to it.
    void getRequestListener(answer, listenerOptions)(incoming, outgoing)
  }

  const metrics = config.metricsBind === undefined ? null : await openMetricsPort(config.metricsBind, shared)
  const http = createHttp(onRequest, { tls, h2c: config.enableH2c })
  const address = await listen(http.server, config)
  http.server.on('error', (error) => logs.server.error({ err: error }, 'server error'))
  const sweeps = config.enableExpiration || config.enableConcatenation
  const stopSweeping = sweeps ? startSweeping(handler, config.sweepInterval * 1000, logs.server) : () => {}

  for (const warning of config.warnings) logs.server.warn(warning)
  if (notice !== null) logs.server.warn(notice)
  if (full !== null) logs.server.warn({ err: full }, 'the storage is full; uploads are refused until there is space')
  const protocol = config.unixSocket !== undefined ? 'unix:' : tls === null ? 'http://' : 'https://'
  const { extensions } = handler
  const place = { address: `${protocol}${address}`, path: config.basePath, ...about, extensions }
  logs.server.info({ ...place, ...(metrics && { metrics: `http://${metrics.address}/metrics` }) }, 'listening')

  return {
    address,
    reload() {
      try {
        const next = readTls(config)
        if (next === null) return
        http.setTls(next)
        logs.server.info('certificate reloaded')
      } catch (error) {
        logs.server.error({ err: error }, 'the new certificate is not used')
      }
    },
    async close() {
      closing = true
      stopSweeping()
      const gone = http.close()
      const timeoutMs = config.shutdownTimeout * 1000
      let isDone = false
      const done = handler.close().then(() => {
        isDone = true
      })
      const ended = Promise.all([done, gone]).then(() => Promise.all(features.map(async ({ close }) => close?.())))
      const inTime = await within(timeoutMs, ended)
      await metrics?.close()
      if (inTime) return true
      logs.server.warn(`requests were still running after ${config.shutdownTimeout} s`)
      http.destroy()
      return isDone
    },
  }
}

/** Loaded only where it is used. */
async function openMetricsPort(address: Address, shared: Shared): Promise<MetricsServer> {
  const { serveMetrics } = await import('./metrics/endpoint.ts')
  return serveMetrics(address, () => shared.metrics())
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
