import { checksumAlgorithms } from './body/checksum.ts'
import { randomId } from './id.ts'
import type { Locker } from './locker.ts'
import { memoryLocker } from './lockers/memory.ts'
import { type Extension, extensionNames, type TusHandlerOptions } from './options.ts'
import { longestTimerMs } from './platform.ts'
import type { Store } from './store.ts'
import type { Context, State } from './upload/context.ts'

/** What a handler works with, for each store. */
export interface Contexts {
  readonly state: State
  /** What is on, as far as that does not depend on the store. */
  readonly extensions: ReadonlySet<Extension>
  readonly downloads: boolean
  /** The one for this store, always the same. @throws TypeError when it is no store. */
  of(store: Store): Context
}

/**
 * Checks the options and fills in the defaults, once.
 * @throws TypeError that names the option that makes no sense.
 */
export function createContexts(options: TusHandlerOptions): Contexts {
  checkOptions(options)
  const { store } = options
  const state: State = { running: new Set(), closing: false, report: reporter(options) }
  const contexts = new WeakMap<Store, Context>()
  const any = typeof store === 'function' ? null : store
  return {
    state,
    extensions: extensionsOf(options, any),
    downloads: (options.downloads ?? false) && (any === null || any.read !== undefined),
    of(which) {
      let context = contexts.get(which)
      if (context === undefined) {
        checkStore(which)
        context = createContext(options, which, state)
        contexts.set(which, context)
      }
      return context
    },
  }
}

function createContext(options: TusHandlerOptions, store: Store, state: State): Context {
  const { expiration, maxSize = 0 } = options
  const extensions = extensionsOf(options, store)
  return {
    store,
    locker: options.locker ?? lockerOf(store),
    extensions,
    hooks: options,
    maxSize,
    maxMetadataSize: options.maxMetadataSize ?? 8192,
    generateId: options.generateId ?? randomId,
    lockTimeoutMs: options.lockTimeoutMs ?? 20_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 60_000,
    minRate: minRateOf(options),
    expiration: extensions.has('expiration') ? (expiration ?? null) : null,
    removePartials: options.removePartials ?? false,
    downloads: (options.downloads ?? false) && store.read !== undefined,
    progressIntervalMs: options.progressIntervalMs ?? 500,
    waitForProgress: options.waitForProgress ?? false,
    report: state.report,
    state,
    progress: new Map(),
  }
}

function minRateOf({ minRate = 0, minRateWindowMs = 10_000 }: TusHandlerOptions): Context['minRate'] {
  return minRate === 0 ? null : { bytesPerSecond: minRate, windowMs: minRateWindowMs }
}

function reporter({ onError }: TusHandlerOptions): State['report'] {
  return (error, caller) => {
    try {
      const result = onError?.(error, caller?.request ?? null)
      if (result instanceof Promise) result.catch(() => {})
    } catch {
      // A failing reporter must not fail the request it reports on.
    }
  }
}

/** Two handlers on one store must not both write to an upload. */
const lockers = new WeakMap<Store, Locker>()

function lockerOf(store: Store): Locker {
  const locker = lockers.get(store) ?? memoryLocker()
  lockers.set(store, locker)
  return locker
}

/** On is what is not switched off and what the store can do, and what it builds on is on as well. */
function extensionsOf(options: TusHandlerOptions, store: Store | null): Set<Extension> {
  const { extensions = {}, expiration } = options
  // A store that is not known yet may do everything.
  const canConcatenate = store === null || store.concatenate !== undefined
  const canWait = store === null || store.finalsOf !== undefined
  const able: Record<Extension, boolean> = {
    creation: true,
    'creation-with-upload': true,
    'creation-defer-length': true,
    expiration: expiration !== undefined,
    checksum: checksumAlgorithms().includes('sha1'),
    'checksum-trailer': checksumAlgorithms().includes('sha1'),
    termination: true,
    concatenation: canConcatenate,
    'concatenation-unfinished': canConcatenate && canWait,
  }
  const on = (name: Extension) => able[name] && extensions[name] !== false
  const needs: Partial<Record<Extension, Extension>> = {
    'creation-with-upload': 'creation',
    'creation-defer-length': 'creation',
    concatenation: 'creation',
    'concatenation-unfinished': 'concatenation',
    'checksum-trailer': 'checksum',
  }
  return new Set(
    extensionNames.filter((name) => {
      const base = needs[name]
      return on(name) && (base === undefined || (on(base) && on(needs[base] ?? base)))
    }),
  )
}

function checkOptions(options: TusHandlerOptions): void {
  if (!/^\/(?!\/)[^?#\s]*$/.test(options.path)) {
    throw new TypeError(`path must start with one slash and hold no query: ${JSON.stringify(options.path)}`)
  }
  const { pathname } = new URL(options.path, 'http://localhost')
  if (pathname !== options.path) {
    throw new TypeError(`path must be as it stands in a URL, ${pathname}: ${JSON.stringify(options.path)}`)
  }
  if (typeof options.store !== 'function') checkStore(options.store)
  for (const name of Object.keys(options.extensions ?? {})) {
    if (!extensionNames.some((known) => known === name)) {
      throw new TypeError(`extensions has no ${JSON.stringify(name)}; there are ${extensionNames.join(', ')}`)
    }
  }
  const { maxSize, expiration, location } = options
  const limits: [name: string, value: number | undefined, least: number, most: number][] = [
    ['maxSize', typeof maxSize === 'function' ? 0 : maxSize, 0, Number.MAX_SAFE_INTEGER],
    ['maxMetadataSize', options.maxMetadataSize, 0, Number.MAX_SAFE_INTEGER],
    ['lockTimeoutMs', options.lockTimeoutMs, 0, longestTimerMs],
    ['idleTimeoutMs', options.idleTimeoutMs, 0, longestTimerMs],
    ['minRate', options.minRate, 0, Number.MAX_SAFE_INTEGER],
    ['minRateWindowMs', options.minRateWindowMs, 1, longestTimerMs],
    ['progressIntervalMs', options.progressIntervalMs, 0, Number.MAX_SAFE_INTEGER],
    ['expiration.afterMs', expiration === undefined ? 0 : (expiration.afterMs ?? Number.NaN), 0, centuryMs],
  ]
  for (const [name, value, least, most] of limits) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least && value <= most)) {
      throw new TypeError(`${name} must be a whole number from ${least} to ${most}: ${value}`)
    }
  }
  if (location?.baseUrl !== undefined && !/^https?:$/.test(URL.parse(location.baseUrl)?.protocol ?? '')) {
    throw new TypeError(`location.baseUrl must be an http or https URL: ${JSON.stringify(location.baseUrl)}`)
  }
}

const centuryMs = 100 * 365 * 24 * 3600 * 1000

function checkStore(store: Store | undefined): void {
  for (const method of ['create', 'get', 'append', 'update', 'terminate', 'incomplete'] as const) {
    if (typeof store?.[method] !== 'function') throw new TypeError(`store has no method ${method}: is it a store?`)
  }
}
