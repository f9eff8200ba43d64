/** Runs the suites with node:test, on every store, over a transport. */
import { describe, test } from 'node:test'
import { stores } from './stores.ts'
import { runCase, type StoreRow, type Transport } from './suite-context.ts'
import { suites } from './suites/index.ts'

/** @param rows The stores to run on. */
export function runSuites(transport: Transport, rows: readonly StoreRow[] = stores): void {
  for (const row of rows) {
    for (const suite of suites) {
      void describe(`${suite.name} (${transport.name}, ${row.name})`, () => {
        for (const each of suite.cases) void test(each.title, { timeout: 30_000 }, () => runCase(each, transport, row))
      })
    }
  }
}
