/** Miniflare: Cloudflare's runtime (workerd) and its R2, as Workers see it. */
import { resolve } from 'node:path'
import { Miniflare } from 'miniflare'
import type { RunningServer } from './program.ts'

export interface R2Server extends RunningServer {
  /** The binding, to be used from Node: calls travel to the runtime and back. */
  readonly bucket: Awaited<ReturnType<Miniflare['getR2Bucket']>>
}

export interface R2Options {
  /** An ES module (a bundle) to serve at `endpoint`, with the binding as `env.BUCKET`. @default one that answers 404 */
  readonly script?: string
  /** Further bindings of the Worker, as `env`. */
  readonly bindings?: Readonly<Record<string, string>>
}

const emptyWorker = `export default { fetch: () => new Response('Not found', { status: 404 }) }`

/** Starts it with an empty bucket in memory. Unlike the other servers it keeps this process going until it is stopped. */
export async function startMiniflareR2(options: R2Options = {}): Promise<R2Server> {
  process.env['MINIFLARE_WORKERD_PATH'] ??= resolve(import.meta.dirname, 'workerd.sh')
  const miniflare = new Miniflare({
    modules: true,
    script: options.script ?? emptyWorker,
    bindings: options.bindings ?? {},
    compatibilityDate: '2026-07-01',
    compatibilityFlags: ['nodejs_compat'],
    host: '127.0.0.1',
    port: 0,
    r2Buckets: ['BUCKET'],
    cf: false,
    telemetry: { enabled: false },
  })
  const url = await miniflare.ready
  let stopped: Promise<void> | null = null
  const stop = () => (stopped ??= miniflare.dispose())
  return {
    name: 'Miniflare R2',
    endpoint: url.origin,
    bucket: await miniflare.getR2Bucket('BUCKET'),
    log: () => '',
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
