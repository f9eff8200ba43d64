/** Runs the suites with node:test, on every store, over a transport. */
import { describe, test } from 'node:test'
import { createTusHandler, type Store, type TusHandler } from '../src/index.ts'
import { stores, type StoreRow } from './stores.ts'
import { suites } from './suites/index.ts'
import {
  observe,
  within,
  type Capabilities,
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

/** @param rows The stores to run on. */
export function runSuites(transport: Transport, rows: readonly StoreRow[] = stores): void {
  for (const row of rows) {
    for (const suite of suites) {
      void describe(`${suite.name} (${transport.name}, ${row.name})`, () => {
        for (const { title, run } of suite.cases) {
          void test(title, { timeout: 30_000 }, async () => {
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
          })
        }
      })
    }
  }
}

function makeContext(transport: Transport, row: StoreRow): { ctx: Context; close: () => Promise<void> } {
  const cleanups: (() => Promise<void>)[] = []
  const violations: unknown[] = []

  const store = async (): Promise<Store> => {
    const made = await row.make()
    cleanups.push(made.cleanup)
    return made.store
  }
  const serve = async (options: ServeOptions = {}): Promise<Server> => {
    const complete = { path: '/files', ...options, store: options.store ?? (await store()) }
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
