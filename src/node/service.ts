import type { Address } from './address.ts'
import type { Config } from './config.ts'
import type { Logs } from './logger.ts'
import type { MetricsServer } from './metrics/endpoint.ts'
import { quotaLimits } from './quota/limits.ts'
import { type RunningServer, startServer } from './server.ts'
import { createShared, type Shared } from './shared.ts'
import { openStorage } from './storage.ts'
import { startSweeping } from './sweeper.ts'
import { startThreads, threadCount } from './threads.ts'
import { readTls } from './tls.ts'

/** The server as a whole: all threads that serve, and what the process does once. */
export interface Service {
  /** Reads the certificate again; a bad one is logged and the present one stays. */
  reload(): void
  /** As a server's `close`, of all threads. */
  close(): Promise<boolean>
}

/**
 * Starts the service. This thread serves as well; the others do nothing but that.
 * @throws Error (StoreError for the store) that says in one line why it cannot.
 */
export async function startService(config: Config, logs: Logs): Promise<Service> {
  const { count, notice } = threadCount(config)
  const storage = await openStorage(config)
  const shared = createShared(quotaLimits(config))
  const metrics = config.metricsBind === undefined ? null : await openMetricsPort(config.metricsBind, shared)
  const server = await startServer(config, logs, { shared, storage, sharing: count > 1 ? 'first' : 'alone' })
  const { url, address, handler } = server
  const threads =
    address === null || count === 1
      ? none
      : await withServer(server, () => startThreads(count - 1, { ...config, bind: address }, logs, shared))
  const sweeps = config.enableExpiration || config.enableConcatenation
  const stopSweeping = sweeps ? startSweeping(handler, config.sweepInterval * 1000, logs.server) : () => {}

  for (const warning of [...config.warnings, notice, storage.notice]) if (warning !== null) logs.server.warn(warning)
  const { about, full } = storage
  if (full !== null) logs.server.warn({ err: full }, 'the storage is full; uploads are refused until there is space')
  const { extensions } = handler
  const place = { address: url, path: config.basePath, ...about, extensions, workers: count }
  logs.server.info({ ...place, ...(metrics && { metrics: `http://${metrics.address}/metrics` }) }, 'listening')

  return {
    reload() {
      try {
        const next = readTls(config)
        if (next === null) return
        server.setTls(next)
        threads.setTls(next)
        logs.server.info('certificate reloaded')
      } catch (error) {
        logs.server.error({ err: error }, 'the new certificate is not used')
      }
    },
    async close() {
      stopSweeping()
      const results = await Promise.all([server.close(), threads.close()])
      await metrics?.close()
      return results.every(Boolean)
    },
  }
}

const none = { setTls: () => {}, close: () => Promise.resolve(true) }

/** Loaded only where it is used. */
async function openMetricsPort(address: Address, shared: Shared): Promise<MetricsServer> {
  const { serveMetrics } = await import('./metrics/endpoint.ts')
  return serveMetrics(address, () => shared.metrics())
}

/** Ends the server where the work fails: it would keep the process. */
async function withServer<T>(server: RunningServer, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    await server.close()
    throw error
  }
}
