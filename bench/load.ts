/**
 * The load: a process of its own, so that its time does not count as the server's. Its parent forks it, waits for
 * `ready` (warmed up, uploads created), says `go`, and is told `done`.
 */
import { pathToFileURL } from 'node:url'
import { type CreatedUpload, createUpload, headUpload, patchUpload } from './client.ts'
import { type Connection, openConnection } from './connection.ts'
import { phaseOf } from './pattern.ts'
import { warmUp, type Workload } from './workloads.ts'

export interface LoadJob {
  readonly port: number
  /** Where uploads are created, such as `/files/`. */
  readonly path: string
  readonly workload: Workload
}

/** An upload as the load has left it. */
export interface SentUpload {
  readonly id: string
  readonly phase: number
  readonly sent: number
}

export type LoadMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly message: string }
  | {
      readonly type: 'done'
      readonly seconds: number
      /** CPU seconds of the load itself while it measured. */
      readonly cpuSeconds: number
      /** Milliseconds within which 99 of 100 uploads, or HEADs, were done. */
      readonly p99: number
      readonly uploads: readonly SentUpload[]
    }

async function main(): Promise<void> {
  const { port, path, workload } = JSON.parse(process.argv[2] ?? '') as LoadJob
  let created = 0
  /** Milliseconds of each piece of work so far. */
  const times: number[] = []
  const pool = Array.from({ length: workload.connections }, () => openConnection(port))

  const warm = await prepare(warmUp(workload))
  await warm.run()
  const measured = await prepare(workload)
  process.send?.({ type: 'ready' } satisfies LoadMessage)
  await new Promise((resolve) => process.once('message', resolve))
  const cpu = process.cpuUsage()
  times.length = 0
  const start = performance.now()
  await measured.run()
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const uploads = [...warm.uploads(), ...measured.uploads()]
  for (const connection of pool) connection.close()
  finish({ type: 'done', seconds, cpuSeconds: (user + system) / 1e6, uploads, p99: percentile(times, 0.99) })

  async function prepare(wanted: Workload): Promise<{ run: () => Promise<void>; uploads: () => SentUpload[] }> {
    const uploads: CreatedUpload[] = []
    const create = (connection: Connection) =>
      createUpload(connection, { path, length: wanted.length, phase: phaseOf(created++) })
    const patchAll = (upload: CreatedUpload, connection: Connection) => patchUpload(connection, upload, wanted)
    const list = (): SentUpload[] => uploads.map(({ id, phase }) => ({ id, phase, sent: wanted.sent }))
    if (wanted.timesCreation) {
      const run = () =>
        share(wanted.uploads, async (connection) => {
          const upload = await create(connection)
          uploads.push(upload)
          await patchAll(upload, connection)
        })
      return { run, uploads: list }
    }
    for (let count = 0; count < wanted.uploads; count++) uploads.push(await create(pool[0]!))
    const run = () => share(wanted.uploads, (connection, index) => patchAll(uploads[index]!, connection))
    if (wanted.heads === 0) return { run, uploads: list }
    await run()
    // Each connection asks for an upload of its own, as clients do: not a contest for one lock.
    const ask = (connection: Connection) => headUpload(connection, uploads[pool.indexOf(connection)]!, wanted.sent)
    return { run: () => share(wanted.heads, ask), uploads: list }
  }

  /** Does `work` so many times, on all connections at once. */
  async function share(count: number, work: (connection: Connection, index: number) => Promise<void>): Promise<void> {
    let next = 0
    await Promise.all(
      pool.map(async (connection) => {
        while (next < count) {
          const start = performance.now()
          await work(connection, next++)
          times.push(performance.now() - start)
        }
      }),
    )
  }
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** The channel keeps this process alive; closed before the message has left, it would swallow it. */
function finish(message: LoadMessage): void {
  process.send?.(message, () => process.disconnect())
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main().catch((error: unknown) => {
    finish({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  })
}
