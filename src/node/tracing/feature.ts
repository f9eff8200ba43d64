import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { TusHandler } from '../../options.ts'
import { exchangeOf } from '../exchange.ts'
import type { Feature } from '../features.ts'
import { redact } from '../redact.ts'
import type { Storage } from '../storage.ts'
import { setTraceHeaders } from './headers.ts'

/** What the standard variables do not say by themselves. */
export interface TracingSettings {
  /** Name of the service; undefined where the variables have one. */
  readonly serviceName: string | undefined
}

/** Tracing, and how the hooks of other features get spans. */
export interface Tracing extends Feature {
  readonly traced: (feature: Feature) => Feature
}

/**
 * Starts the SDK of OpenTelemetry, which reads its `OTEL_*` variables itself.
 * @throws Error that names what is not installed.
 */
export async function openTracing(settings: TracingSettings, storage: Storage, log: Logger): Promise<Tracing> {
  const { api, shutdown } = await startSdk(settings, log)
  const { storageSpans, traceHandler, traceHeaders, traceHooks, traceLocker, traceStore } =
    await import('../../tracing.ts')
  setTraceHeaders(traceHeaders)
  storage.observe(storageSpans())
  const named = (handler: TusHandler): TusHandler =>
    Object.assign(
      (request: Request, platform?: Parameters<TusHandler>[1]) => {
        const exchange = exchangeOf(request)
        const span = api.trace.getActiveSpan()
        if (exchange !== undefined && span !== undefined) {
          exchange.traceId = span.spanContext().traceId
          span.setAttribute('fileloft.request.id', exchange.id)
        }
        return handler(request, platform)
      },
      {
        extensions: handler.extensions,
        sweep: (which?: Parameters<TusHandler['sweep']>[0]) => handler.sweep(which),
        close: () => handler.close(),
      },
    )
  return {
    traced: (feature) => (feature.hooks === undefined ? feature : { ...feature, hooks: traceHooks(feature.hooks) }),
    handler: (handler) => traceHandler(named(handler)),
    store: traceStore,
    locker: traceLocker,
    close: shutdown,
  }
}

/** Milliseconds in which spans that are left are sent at a shutdown. */
const flushMs = 2_000

async function startSdk({ serviceName }: TracingSettings, log: Logger) {
  const { api, NodeSDK } = await load()
  // Metrics and logs go their own ways.
  const sdk = new NodeSDK({
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    ...(serviceName !== undefined && { serviceName }),
  })
  const { diag, DiagLogLevel } = api
  const say = (level: 'warn' | 'error') => (message: string) => log[level]({ tracing: redact(message) }, 'tracing')
  const ignore = () => {}
  const listen = () =>
    diag.setLogger(
      { error: say('error'), warn: say('warn'), info: ignore, debug: ignore, verbose: ignore },
      { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
    )
  // What is wrong with a variable is said once, not by each thread.
  if (isMainThread) listen()
  sdk.start()
  listen()
  return {
    api,
    // A collector that is away must not hold up the end.
    shutdown: () => Promise.race([sdk.shutdown().catch(ignore), delay(flushMs, undefined, { ref: false })]),
  }
}

async function load() {
  try {
    const [api, { NodeSDK }] = await Promise.all([import('@opentelemetry/api'), import('@opentelemetry/sdk-node')])
    return { api, NodeSDK }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error
    const packages = '@opentelemetry/api @opentelemetry/sdk-node'
    throw new Error(
      `The OTEL_ variables ask for traces, which needs packages that are not installed: npm install ${packages}`,
      {
        cause: error,
      },
    )
  }
}
