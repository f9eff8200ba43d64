import type { Address } from './address.ts'
import type { Config } from './config.ts'
import { claimPort } from './listen.ts'
import type { Logs } from './logger.ts'
import type { MetricsServer } from './metrics/endpoint.ts'
import { quotaLimits } from './quota/limits.ts'
import { startServer } from './server.ts'
import { createShared, type Shared } from './shared.ts'
import { openStorage } from './storage.ts'
import { startSweeping } from './sweeper.ts'
import { createThreads, threadCount, type Threads } from './threads.ts'
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
  const threads = count === 1 ? null : createThreads(count - 1, config, logs, shared)
  const server = await startServer(config, logs, {
    shared,
    storage,
    ...(threads && { sharedAddress: () => shareAddress(config, threads) }),
  }).catch((error: unknown) => {
    threads?.abandon()
    throw error
  })
  const { url, handler } = server
  const sweeps = config.enableExpiration || config.enableConcatenation
  const stopSweeping = sweeps ? startSweeping(handler, config.sweepInterval * 1000, logs.server) : () => {}

  for (const warning of [...config.warnings, notice, storage.notice]) if (warning !== null) logs.server.warn(warning)
  const { about, full } = storage
  if (full !== null) logs.server.warn({ err: full }, 'the storage is full; uploads are refused until there is space')
  const { extensions } = handler
  const page = config.demo && !url.startsWith('unix:') ? { page: pageOf(url) } : {}
  const place = { address: url, ...page, path: config.basePath, ...about, extensions, workers: count }
  logs.server.info({ ...place, ...(metrics && { metrics: `http://${metrics.address}/metrics` }) }, 'listening')

  return {
    reload() {
      try {
        const next = readTls(config)
        if (next === null) return
        server.setTls(next)
        threads?.setTls(next)
        logs.server.info('certificate reloaded')
      } catch (error) {
        logs.server.error({ err: error }, 'the new certificate is not used')
      }
    },
    async close() {
      stopSweeping()
      const results = await Promise.all([server.close(), threads?.close() ?? true])
      await metrics?.close()
      return results.every(Boolean)
    },
  }
}

/** Where a browser on this machine finds the page. */
function pageOf(url: string): string {
  return `${url.replace(/\/\/(0\.0\.0\.0|\[::\]):/, '//localhost:')}/`
}

/** Lets all other threads listen; tells where. */
async function shareAddress({ bind }: Config, threads: Threads): Promise<Address> {
  await threads.start()
  const address = await claimPort(bind)
  // This thread comes last: whoever connects as soon as anybody answers would stay with the first one.
  await threads.listen(address)
  return address
}

/** Loaded only where it is used. */
async function openMetricsPort(address: Address, shared: Shared): Promise<MetricsServer> {
  const { serveMetrics } = await import('./metrics/endpoint.ts')
  return serveMetrics(address, () => shared.metrics())
}
