/** The suites inside workerd, as Miniflare starts it. */
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import type { Row } from './counts.ts'
import { collect } from './suites.ts'
import type { WorkerTask } from './worker.ts'

export interface WorkerdOptions extends Omit<WorkerTask, 'port'> {
  readonly nodejsCompat: boolean
}

export async function runInWorkerd(name: string, store: string, options: WorkerdOptions, onRow: (row: Row) => void) {
  const { nodejsCompat, ...task } = options
  const miniflare = await startWorker('test/runtimes/worker.ts', nodejsCompat)
  try {
    const { origin, port } = await miniflare.ready
    const body = JSON.stringify({ ...task, port: Number(port) } satisfies WorkerTask)
    // Compressed, the lines would come all together at the end.
    const answer = await fetch(`${origin}/run`, { method: 'POST', body, headers: { 'Accept-Encoding': 'identity' } })
    const lines = createInterface({ input: Readable.from(answer.body ?? []) })
    await collect(name, store, lines, onRow, () => '')
  } finally {
    await miniflare.dispose()
  }
}

/**
 * @param entry A Worker's file, from the repository's root. It exports `UploadLock`.
 * @param others Names of isolates beside `main` that run the same, with the same bucket and the same locks.
 */
export async function startWorker(
  entry: string,
  nodejsCompat: boolean,
  others: readonly string[] = [],
): Promise<Miniflare> {
  process.env['MINIFLARE_WORKERD_PATH'] ??= resolve(import.meta.dirname, '../servers/workerd.sh')
  const { outputFiles } = await build({
    entryPoints: [resolve(import.meta.dirname, '../..', entry)],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2024',
    // What packages offer to Workers; `node:*` only where the Worker may import it.
    conditions: ['workerd', 'worker'],
    mainFields: ['module', 'main'],
    external: ['cloudflare:*', ...(nodejsCompat ? ['node:*'] : [])],
    write: false,
  })
  const worker = (name: string) => ({
    name,
    modules: true,
    script: outputFiles[0]?.text ?? '',
    compatibilityDate: '2026-07-01',
    compatibilityFlags: nodejsCompat ? ['nodejs_compat'] : [],
    r2Buckets: ['BUCKET'],
    durableObjects: { LOCKS: { className: 'UploadLock', useSQLite: true, scriptName: 'main' } },
    unsafeDirectSockets: others.length === 0 ? [] : [{ host: '127.0.0.1', port: 0 }],
  })
  return new Miniflare({
    host: '127.0.0.1',
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    workers: ['main', ...others].map(worker),
  })
}
