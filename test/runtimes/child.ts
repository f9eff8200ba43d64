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
  readonly server?: 'express' | 'fastify' | 'hono' | 'lambda' | 'nextjs' | 'sveltekit'
}

const task = JSON.parse(process.argv[2] ?? '{"store":"memory"}') as Task
const say = (line: unknown) => void process.stdout.write(`${JSON.stringify(line)}\n`)
const left = await runAll(transportOf(await thisRuntime()), await rowOf(task), task, say)
say({ left })
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
  const { server = 'http' } = task
  // Who makes a `Request` of its own tells no trailers.
  const trailers = !['lambda', 'nextjs', 'sveltekit'].includes(server)
  const capabilities = { trailers, answerLength: server !== 'nextjs' }
  if (server === 'nextjs' || server === 'sveltekit') {
    const { listenApp } = await import('./listen-apps.ts')
    return { name: 'Node', capabilities, listen: await listenApp(server), dial }
  }
  const { listeners } = await import('./listen-node.ts')
  return { name: 'Node', capabilities, listen: listeners[server], dial }
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
