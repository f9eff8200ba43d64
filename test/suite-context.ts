/** What a case gets: handlers on fresh stores, served over some transport. Runs on every runtime, so it imports none. */
import { createTusHandler, type Locker, type Store, type TusHandler } from '../src/index.ts'
import {
  observe,
  within,
  type Capabilities,
  type Case,
  type Context,
  type Init,
  type ServeOptions,
  type Server,
} from './suites/support.ts'

/** How requests reach a handler. */
export interface Transport {
  readonly name: string
  readonly capabilities: Capabilities
  open(handler: TusHandler): Promise<Connection>
}

export interface Connection {
  readonly origin: string
  fetch(target: string, init: Init): Promise<Response>
  fetchRaw(path: string, init: Init): Promise<Response>
  taken(body?: ReadableStream<Uint8Array>): number
  close(): Promise<void>
}

/** A store that the suites run on. */
export interface StoreRow {
  readonly name: string
  /** A fresh, empty store, what removes all traces of it, and a locker where it is not the handler's own. */
  make(): Promise<{ store: Store; locker?: Locker; cleanup: () => Promise<void> }>
}

/** Runs a case in a world of its own, and fails with what went wrong first. */
export async function runCase({ run }: Case, transport: Transport, row: StoreRow): Promise<void> {
  const { ctx, close } = makeContext(transport, row)
  let failure: unknown = null
  try {
    await run(ctx)
  } catch (error) {
    failure = error
  }
  try {
    await close()
  } catch (error) {
    // What the case itself found comes first; the rest may follow from it.
    failure ??= error
  }
  if (failure !== null) throw failure
}

function makeContext(transport: Transport, row: StoreRow): { ctx: Context; close: () => Promise<void> } {
  const cleanups: (() => Promise<void>)[] = []
  const violations: unknown[] = []
  const lockers = new WeakMap<Store, Locker>()

  const store = async (): Promise<Store> => {
    const made = await row.make()
    cleanups.push(made.cleanup)
    if (made.locker !== undefined) lockers.set(made.store, made.locker)
    return made.store
  }
  const serve = async (options: ServeOptions = {}): Promise<Server> => {
    const given = options.store ?? (await store())
    const locker = lockers.get(given)
    const complete = { path: '/files', ...(locker !== undefined && { locker }), ...options, store: given }
    const handler = createTusHandler(complete)
    const connection = await transport.open(handler)
    cleanups.push(async () => {
      // Whatever a case left behind must come to its end now: no request may be stuck.
      await within(handler.close(), 'handler.close() after the case', 10_000)
      await connection.close()
    })
    const observed =
      (send: Connection['fetch']) =>
      async (target: string, init: Init = {}) => {
        const response = await send(target, init)
        try {
          return observe(response, init.method ?? 'GET', target, init.headers?.['X-HTTP-Method-Override'])
        } catch (error) {
          violations.push(error)
          throw error
        }
      }
    return {
      origin: connection.origin,
      url: connection.origin + complete.path.replace(/\/+$/, ''),
      handler,
      store: complete.store,
      fetch: observed((target, init) => connection.fetch(target, init)),
      fetchRaw: observed((path, init) => connection.fetchRaw(path, init)),
      taken: (body) => connection.taken(body),
    }
  }
  const close = async () => {
    for (const cleanup of cleanups.reverse()) await cleanup()
    if (violations.length > 0) throw violations[0]
  }
  return { ctx: { capabilities: transport.capabilities, store, serve }, close }
}
