/**
 * The load: a process of its own, so that its time does not count as the server's. Its parent forks it, waits for
 * `ready` (warmed up, uploads created), says `go`, and is told `done`.
 */
import { pathToFileURL } from 'node:url'
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
      readonly uploads: readonly SentUpload[]
    }

interface Created {
  readonly id: string
  readonly path: string
  readonly phase: number
}

async function main(): Promise<void> {
  const { port, path, workload } = JSON.parse(process.argv[2] ?? '') as LoadJob
  const host = `Host: 127.0.0.1:${port}\r\nTus-Resumable: 1.0.0\r\n`
  let created = 0
  const pool = Array.from({ length: workload.connections }, () => openConnection(port))

  const warm = await prepare(warmUp(workload))
  await warm.run()
  const measured = await prepare(workload)
  process.send?.({ type: 'ready' } satisfies LoadMessage)
  await new Promise((resolve) => process.once('message', resolve))
  const cpu = process.cpuUsage()
  const start = performance.now()
  await measured.run()
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const uploads = [...warm.uploads(), ...measured.uploads()]
  for (const connection of pool) connection.close()
  finish({ type: 'done', seconds, cpuSeconds: (user + system) / 1e6, uploads })

  async function prepare(wanted: Workload): Promise<{ run: () => Promise<void>; uploads: () => SentUpload[] }> {
    const uploads: Created[] = []
    const patchAll = (upload: Created, connection: Connection) => patch(wanted, upload, connection)
    const list = (): SentUpload[] => uploads.map(({ id, phase }) => ({ id, phase, sent: wanted.sent }))
    if (wanted.timesCreation) {
      const run = () =>
        share(wanted.uploads, async (connection) => {
          const upload = await create(wanted, connection)
          uploads.push(upload)
          await patchAll(upload, connection)
        })
      return { run, uploads: list }
    }
    for (let count = 0; count < wanted.uploads; count++) uploads.push(await create(wanted, pool[0]!))
    const run = () => share(wanted.uploads, (connection, index) => patchAll(uploads[index]!, connection))
    if (wanted.heads === 0) return { run, uploads: list }
    await run()
    // Each connection asks for an upload of its own, as clients do: not a contest for one lock.
    const ask = (connection: Connection) => head(wanted, uploads[pool.indexOf(connection)]!, connection)
    return { run: () => share(wanted.heads, ask), uploads: list }
  }

  /** Does `work` so many times, on all connections at once. */
  async function share(times: number, work: (connection: Connection, index: number) => Promise<void>): Promise<void> {
    let next = 0
    await Promise.all(
      pool.map(async (connection) => {
        while (next < times) await work(connection, next++)
      }),
    )
  }

  async function create(wanted: Workload, connection: Connection): Promise<Created> {
    const phase = phaseOf(created++)
    const { status, head } = await connection.request(
      `POST ${path} HTTP/1.1\r\n${host}Upload-Length: ${wanted.length}\r\nContent-Length: 0\r\n\r\n`,
    )
    const location = /\r\nlocation: *(?:https?:\/\/[^/\r]+)?(\/[^\r]*)/i.exec(head)?.[1]
    if (status !== 201 || location === undefined) throw new Error(`POST was answered ${head}`)
    return { id: location.slice(location.lastIndexOf('/') + 1), path: location, phase }
  }

  async function patch(wanted: Workload, upload: Created, connection: Connection): Promise<void> {
    for (let start = 0; start < wanted.sent;) {
      const end = Math.min(start + wanted.patch, wanted.sent)
      const { status, head } = await connection.request(
        `PATCH ${upload.path} HTTP/1.1\r\n${host}Upload-Offset: ${start}\r\n` +
          `Content-Type: application/offset+octet-stream\r\nContent-Length: ${end - start}\r\n\r\n`,
        { phase: upload.phase, start, end },
      )
      if (status !== 204 || offsetOf(head) !== end) throw new Error(`PATCH up to ${end} was answered ${head}`)
      start = end
    }
  }

  async function head(wanted: Workload, upload: Created, connection: Connection): Promise<void> {
    const answer = await connection.request(`HEAD ${upload.path} HTTP/1.1\r\n${host}\r\n`)
    // 204 is what the Rust fileloft says.
    if ((answer.status !== 200 && answer.status !== 204) || offsetOf(answer.head) !== wanted.sent) {
      throw new Error(`HEAD was answered ${answer.head}`)
    }
  }
}

function offsetOf(head: string): number {
  return Number(/\r\nupload-offset: *(\d+)/i.exec(head)?.[1] ?? Number.NaN)
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
