/**
 * Runs the suites inside a runtime that has `node:net`: `bun test/runtimes/child.ts '{"store":"memory"}'`. One line of
 * JSON for each case; at the end the number of cases left out.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Locker, Store } from '../../src/index.ts'
import { fsLocker } from '../../src/lockers/fs.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import type { StoreRow } from '../suite-context.ts'
import { runAll, type Selection } from './run.ts'
import { transportOf, type Runtime } from './transport.ts'
import { dial } from './wire-node.ts'

/** What this program is told as its only argument. */
export interface Task extends Selection {
  readonly store: 'memory' | 'fs' | 's3' | 'gcs' | 'azure'
  /** Options of the store, as far as JSON carries them. */
  readonly options?: object
  /** What serves, on Node. @default node:http */
  readonly server?: 'express' | 'fastify' | 'hono' | 'lambda'
}

const task = JSON.parse(process.argv[2] ?? '{"store":"memory"}') as Task
const left = await runAll(transportOf(await thisRuntime()), await rowOf(task), task, (outcome) =>
  console.log(JSON.stringify(outcome)),
)
console.log(JSON.stringify({ left }))
process.exit()

async function thisRuntime(): Promise<Runtime> {
  if ('Bun' in globalThis) {
    const { listen } = await import('./listen-bun.ts')
    return { name: 'Bun', capabilities: { trailers: false, answerLength: false }, listen, dial }
  }
  if ('Deno' in globalThis) {
    const { listen } = await import('./listen-deno.ts')
    return { name: 'Deno', capabilities: { trailers: false, answerLength: true }, listen, dial }
  }
  const { listeners } = await import('./listen-node.ts')
  const listen = listeners[task.server ?? 'http']
  // Lambda is told no trailers.
  const trailers = task.server !== 'lambda'
  return { name: 'Node', capabilities: { trailers, answerLength: true }, listen, dial }
}

type Made = { readonly store: Store; readonly locker?: Locker; readonly cleanup?: () => Promise<void> }

async function rowOf({ store: name, options }: Task): Promise<StoreRow> {
  const open = await opener(name, options)
  return { name, make: async () => ({ cleanup: () => Promise.resolve(), ...(await open()) }) }
}

/** Makes a fresh store each time. */
async function opener(name: Task['store'], options: unknown): Promise<() => Made | Promise<Made>> {
  let count = 0
  // Below a prefix of its own in the bucket.
  const fresh = <O>(): O => ({ ...(options as O), prefix: `${++count}/` })
  switch (name) {
    case 'memory':
      return () => ({ store: memoryStore() })
    case 'fs':
      return async () => {
        const directory = await mkdtemp(join(tmpdir(), 'fileloft-suite-'))
        const cleanup = () => rm(directory, { recursive: true, force: true })
        return { store: fileStore({ directory }), locker: fsLocker({ directory: join(directory, '.locks') }), cleanup }
      }
    case 's3': {
      const { s3Store } = await import('../../src/stores/s3.ts')
      return () => ({ store: s3Store(fresh()) })
    }
    case 'gcs': {
      const { gcsStore } = await import('../../src/stores/gcs.ts')
      return () => ({ store: gcsStore(fresh()) })
    }
    case 'azure': {
      const { azureStore } = await import('../../src/stores/azure.ts')
      return () => ({ store: azureStore(fresh()) })
    }
  }
}
