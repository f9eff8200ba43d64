import type { Hono } from 'hono'
import type { AppEnv } from './app-env.ts'
import { hasAuthorization } from './auth/check.ts'
import { ownerOf } from './auth/owner.ts'
import type { Grant } from '../grants/grant.ts'
import type { UploadHooks } from '../hooks.ts'
import type { Locker } from '../locker.ts'
import type { TusHandler } from '../options.ts'
import type { Store } from '../store.ts'
import type { Config } from './config.ts'
import type { Exchange } from './exchange.ts'
import type { Loggers } from './loggers.ts'
import type { Metrics } from './metrics/feature.ts'
import type { HookMetrics } from './metrics/hook-metrics.ts'
import type { Meters } from './metrics/meters.ts'
import { quotaFeature } from './quota/feature.ts'
import { quotaLimits } from './quota/limits.ts'
import type { Shared } from './shared.ts'
import type { Storage } from './storage.ts'
import { openTracing } from './tracing/feature.ts'

/** What the server knows about a request, for the hooks of all its features. */
export interface RequestContext {
  /** What the client's token or signed URL claims, once it is verified. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What the signed URL allows by which the request came. */
  readonly grant?: Grant
}

/** A part of the server that can be switched on: authorization, webhooks, metrics. */
export interface Feature {
  readonly hooks?: UploadHooks<RequestContext>
  /** Adds endpoints of its own, outside of those of uploads. */
  readonly routes?: (app: Hono<AppEnv>) => void
  /** Sees each request as it comes, before anything else does. Must not throw. */
  readonly onExchange?: (exchange: Exchange) => void
  /** Called for each chunk of each body with its size in bytes. Must not throw. */
  readonly onReceived?: (size: number) => void
  /** Puts something around the locker, the store, the handler. */
  readonly locker?: (locker: Locker) => Locker
  readonly store?: (store: Store) => Store
  readonly handler?: (handler: TusHandler) => TusHandler
  /** Ends its work, after the last request. */
  readonly close?: () => Promise<void>
}

/**
 * The features that the configuration asks for, in the order in which their hooks run.
 * @throws Error that says in one line why one cannot start.
 */
export async function openFeatures(
  config: Config,
  logs: Loggers,
  storage: Storage,
  shared: Shared,
): Promise<readonly Feature[]> {
  const tracing = config.tracing === null ? null : await openTracing(config.tracing, storage, logs.server)
  const metrics = wantsMetrics(config) ? await openMetrics(config, storage, shared) : null
  const quota = quotaOf(config, shared, metrics?.meters)
  // What is to have spans of its own in a trace: features that ask others, not those that only count.
  const authorization = hasAuthorization(config) ? await openAuthorization(config, logs) : null
  const webhooks = hasHooks(config) ? await openHooks(config, logs, storage, metrics?.hookMetrics) : null
  const asking = [authorization, webhooks].filter((feature) => feature !== null)
  const demo = config.demo ? await openDemo(config) : null
  const features = [...asking.map((feature) => tracing?.traced(feature) ?? feature), quota, metrics, tracing, demo]
  return features.filter((feature) => feature !== null)
}

/** What the features put around the parts of the server, the first one innermost. */
export function combineFeatures(
  features: readonly Feature[],
  { store, locker }: Pick<Storage, 'store' | 'locker'>,
): {
  readonly store: Store
  readonly locker: Locker
  readonly wrapHandler: (handler: TusHandler) => TusHandler
  readonly onReceived: ((size: number) => void) | null
} {
  const listeners = features.flatMap(({ onReceived }) => onReceived ?? [])
  const [first = null, ...others] = listeners
  return {
    store: features.reduce((inner, feature) => feature.store?.(inner) ?? inner, store),
    locker: features.reduce((inner, feature) => feature.locker?.(inner) ?? inner, locker),
    wrapHandler: (handler) => features.reduce((inner, feature) => feature.handler?.(inner) ?? inner, handler),
    onReceived: others.length === 0 ? first : (size) => listeners.forEach((listener) => listener(size)),
  }
}

// What is switched off is not loaded: each module costs memory, in each thread.

async function openAuthorization(config: Config, logs: Loggers): Promise<Feature | null> {
  const authorization = await import('./auth/authorization.ts')
  return authorization.openAuthorization(config, logs.server)
}

async function openHooks(
  config: Config,
  logs: Loggers,
  storage: Storage,
  metrics: HookMetrics | undefined,
): Promise<Feature | null> {
  const hooks = await import('./hooks/feature.ts')
  return hooks.openHooks(config, logs, storage, metrics)
}

async function openMetrics(config: Config, storage: Storage, shared: Shared): Promise<Metrics> {
  const { meteredFeature } = await import('./metrics/feature.ts')
  return meteredFeature(config, storage, shared)
}

/**
 * The page to try uploads with. Loaded only where it is asked for: an image has none.
 * @throws Error when it was not built.
 */
export async function openDemo(config: Config): Promise<Feature> {
  const { demoFeature } = await import('./demo/feature.ts')
  return demoFeature(config)
}

/** Null where nothing is limited: no request pays for it. */
function quotaOf(config: Config, { ledger }: Shared, meters: Meters | undefined): Feature | null {
  const { active, activePerClient, bytesPerClient } = quotaLimits(config)
  const { authOwnerClaim } = config
  if (active === 0 && activePerClient === 0 && bytesPerClient === 0) return null
  return quotaFeature({
    ledger,
    countsBytes: bytesPerClient > 0,
    trustForwarded: config.behindProxy,
    ownerOf: ({ claims }) =>
      claims === undefined || authOwnerClaim === undefined ? null : ownerOf(claims, authOwnerClaim),
    ...(meters && { onRefusal: (limit) => meters.refusals.inc({ limit }) }),
  })
}

/** Whether anybody is told or asked of what happens. */
function hasHooks({ hooksUrl, hooksDir }: Config): boolean {
  return hooksUrl !== undefined || hooksDir !== undefined
}

/** Whether anything is counted. */
export function wantsMetrics({ metrics, metricsBind }: Config): boolean {
  return metrics || metricsBind !== undefined
}
