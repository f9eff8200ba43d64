import type { Config } from '../config.ts'
import type { Feature } from '../features.ts'
import type { Shared } from '../shared.ts'
import type { Storage } from '../storage.ts'
import { scrape } from './endpoint.ts'
import { type HookMetrics, hookMetrics } from './hook-metrics.ts'
import { meteredLocker } from './locks.ts'
import { countsOf, createMeters, type Meters } from './meters.ts'
import { byteMeter, requestMeter } from './requests.ts'
import { storageMeter } from './storage.ts'
import { uploadMeter } from './uploads.ts'

/** Metrics of this thread, as part of those of the process. */
export interface Metrics extends Feature {
  readonly meters: Meters
  /** For whoever delivers webhooks. */
  readonly hookMetrics: HookMetrics
}

/** Begins to count. `GET /metrics` is answered on the port of the uploads only where the configuration asks for it. */
export function meteredFeature(config: Pick<Config, 'metrics'>, storage: Storage, shared: Shared): Metrics {
  const meters = createMeters()
  storage.observe(storageMeter(meters))
  shared.join(() => countsOf(meters))
  return {
    meters,
    hookMetrics: hookMetrics(meters),
    onExchange: requestMeter(meters),
    onReceived: byteMeter(meters),
    hooks: uploadMeter(meters),
    locker: (locker) => meteredLocker(locker, meters),
    ...(config.metrics && {
      routes: (app) => void app.get('/metrics', () => scrape(() => shared.metrics())),
    }),
  }
}
