/**
 * Spans of OpenTelemetry for requests, locks, calls to the store and hooks. Needs the package `@opentelemetry/api`, and
 * does nothing until the application sets up an SDK.
 */
import {
  type Attributes,
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from '@opentelemetry/api'
import { TusError } from './errors.ts'
import { createTusHandler } from './handler.ts'
import type { UploadHooks } from './hooks.ts'
import type { Locker } from './locker.ts'
import type { StorageObserver } from './objects/observer.ts'
import type { TusHandler, TusHandlerOptions } from './options.ts'
import type { Store } from './store.ts'

/**
 * `createTusHandler` with spans: one for each request, below it those of locks, store and hooks. The trace goes on that
 * the client's `traceparent` names, or the span that is active already, of an instrumentation of the server around.
 *
 * A store object should belong to handlers with spans or to ones without, not to both: each kind has its own locks,
 * unless a `locker` is given.
 *
 * @throws TypeError when an option makes no sense.
 * @example createTracedHandler({ path: '/files', store: fileStore({ directory: './uploads' }) })
 */
export function createTracedHandler<C = unknown>(options: TusHandlerOptions<C>): TusHandler {
  const { store, locker } = options
  return traceHandler(
    createTusHandler<C>({
      ...options,
      ...traceHooks(options),
      store:
        typeof store === 'function'
          ? async (request, hookContext) => traceStore(await store(request, hookContext))
          : traceStore(store),
      ...(locker !== undefined && { locker: traceLocker(locker) }),
    }),
  )
}

/** The handler with a span for each request. */
export function traceHandler(handler: TusHandler): TusHandler {
  const handle: TusHandler = Object.assign(
    (request: Request, platform?: Parameters<TusHandler>[1]) => {
      const outer = trace.getActiveSpan()
      const parent = outer === undefined ? propagation.extract(context.active(), request.headers, getter) : null
      const kind = outer === undefined ? SpanKind.SERVER : SpanKind.INTERNAL
      const method = methods.has(request.method) ? request.method : '_OTHER'
      const attributes = { 'http.request.method': method, 'url.path': new URL(request.url).pathname }
      const run = () =>
        inSpan(method === '_OTHER' ? 'HTTP' : method, { kind, attributes }, async (span) => {
          const response = await handler(request, platform)
          span.setAttribute('http.response.status_code', response.status)
          if (response.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
          return response
        })
      return parent === null ? run() : context.with(parent, run)
    },
    {
      extensions: handler.extensions,
      sweep: (which?: Store) => inSpan('sweep', {}, () => handler.sweep(which)),
      close: () => handler.close(),
    },
  )
  return handle
}

/** The store with a span for each call; always the same one for a store. */
export function traceStore<S extends Store>(store: S): S {
  const known = tracedStores.get(store)
  if (known !== undefined) return known as S
  const calls = new Map<PropertyKey, unknown>()
  const traced = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      let call = calls.get(name)
      if (call === undefined) {
        call = tracedMethod(target, String(name), value as Method)
        calls.set(name, call)
      }
      return call
    },
  })
  tracedStores.set(store, traced)
  return traced
}

/** The locker with a span for each wait. */
export function traceLocker(locker: Locker): Locker {
  return {
    ...locker,
    acquire: (id, options) =>
      inSpan('lock.acquire', { attributes: { 'fileloft.upload.id': id } }, () => locker.acquire(id, options)),
  }
}

/** The hooks with a span for each call; nothing else of what is given. */
export function traceHooks<C>(hooks: UploadHooks<C>): UploadHooks<C> {
  const entries = hookNames.flatMap((name) => {
    const hook = hooks[name] as ((event: unknown) => unknown) | undefined
    return hook === undefined ? [] : [[name, (event: unknown) => inSpan(`hook ${name}`, {}, async () => hook(event))]]
  })
  return Object.fromEntries(entries) as UploadHooks<C>
}

/**
 * Spans for the single calls to object storage, below those of the store.
 * @example s3Store({ bucket: 'uploads', credentials, observer: storageSpans() })
 */
export function storageSpans(): StorageObserver {
  return {
    onCall(name) {
      const span = tracer().startSpan(`storage.${name}`, { kind: SpanKind.CLIENT })
      return (error) => {
        if (error !== undefined) fail(span, error)
        span.end()
      }
    },
  }
}

/** Headers that let a request to another service be part of the present trace (W3C `traceparent`); none without one. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {}
  propagation.inject(context.active(), headers)
  return headers
}

type Method = (...args: unknown[]) => unknown

const tracer = () => trace.getTracer('fileloft')
const tracedStores = new WeakMap<Store, Store>()
const methods = new Set(['OPTIONS', 'HEAD', 'GET', 'POST', 'PATCH', 'DELETE'])
const spanned = new Set(['create', 'get', 'append', 'update', 'sync', 'terminate', 'concatenate', 'finalsOf'])
const hookNames = [
  'onRequest',
  'onAccess',
  'onLimit',
  'onCreate',
  'onCreated',
  'onProgress',
  'onFinish',
  'onPartialFinish',
  'onFinished',
  'onPartialFinished',
  'onTerminate',
  'onTerminated',
  'onExpire',
] as const satisfies (keyof UploadHooks)[]

const getter: TextMapGetter<Headers> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  keys: (headers) => [...headers.keys()],
}

async function inSpan<T>(
  name: string,
  options: { readonly kind?: SpanKind; readonly attributes?: Attributes },
  work: (span: Span) => T | Promise<T>,
): Promise<T> {
  return tracer().startActiveSpan(name, options, async (span) => {
    try {
      return await work(span)
    } catch (error) {
      fail(span, error)
      throw error
    } finally {
      span.end()
    }
  })
}

/** Without the message: it may quote what is secret. What the client is to blame for is no failure of ours. */
function fail(span: Span, error: unknown): void {
  const type = error instanceof Error ? error.name : typeof error
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
  span.setAttribute('error.type', code === undefined ? type : `${type} ${code}`)
  if (!(error instanceof TusError) || error.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
}

function tracedMethod(store: Store, name: string, method: Method): Method {
  if (name === 'read') {
    return (...args) => traceStream(`store.${name}`, attributesOf(args), () => method.apply(store, args) as Stream)
  }
  if (!spanned.has(name)) return method.bind(store)
  return (...args) => inSpan(`store.${name}`, { attributes: attributesOf(args) }, () => method.apply(store, args))
}

function attributesOf([first]: readonly unknown[]): Attributes {
  if (typeof first === 'string') return { 'fileloft.upload.id': first }
  const { id, offset } = (first ?? {}) as { id?: string; offset?: number }
  return {
    ...(id !== undefined && { 'fileloft.upload.id': id }),
    ...(offset !== undefined && { 'fileloft.upload.offset': offset }),
  }
}

type Stream = AsyncIterable<Uint8Array>

/** A span that lasts until all bytes are read, or nobody wants the rest. */
function traceStream(name: string, attributes: Attributes, open: () => Stream): Stream {
  // The bytes are asked for when the request has long been answered.
  const outer = context.active()
  return (async function* () {
    const span = tracer().startSpan(name, { attributes }, outer)
    const inside = trace.setSpan(outer, span)
    const iterator = context.with(inside, () => open()[Symbol.asyncIterator]())
    try {
      for (;;) {
        const { done, value } = await context.with(inside, () => iterator.next())
        if (done === true) return
        yield value
      }
    } catch (error) {
      fail(span, error)
      throw error
    } finally {
      await iterator.return?.()
      span.end()
    }
  })()
}
