/** The protocol suites on a real server, started for them. */
import { after, test } from 'node:test'
import type { Store } from '../src/index.ts'
import { inProcess } from './in-process.ts'
import { runSuites } from './run-suites.ts'
import type { RunningServer } from './servers/program.ts'

/**
 * @param start Resolves to null where the server is not installed.
 * @param open Prepares the server and tells how to open a store that sees only what is below `prefix`.
 */
export async function runOnServer<S extends RunningServer>(
  name: string,
  start: () => Promise<S | null>,
  open: (server: S) => Promise<(prefix: string) => Store>,
): Promise<void> {
  const server = await start()
  if (server === null) {
    void test(`the protocol on ${name}`, { skip: 'its server is not installed' })
    return
  }
  after(() => server.stop())
  const storeAt = await open(server)
  let count = 0
  const make = () => Promise.resolve({ store: storeAt(`${++count}/`), cleanup: () => Promise.resolve() })
  runSuites(inProcess, [{ name, make }])
}
