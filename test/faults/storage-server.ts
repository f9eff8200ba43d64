/** The process of storage-child.ts, to be killed and started again on the same port. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SweepResult } from '../../src/index.ts'
import type { ObjectStoreOptions } from '../../src/objects/store.ts'
import type { News, Order, Place } from './storage-child.ts'

export interface StorageServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`; stays the same over restarts. */
  readonly origin: string
  /** Where uploads are created. */
  readonly url: string
  /** What went wrong by `onError`, of all processes so far, the last ones. */
  readonly failures: readonly string[]
  /** Serves what lies below this prefix from now on. */
  open(prefix: string, options: ObjectStoreOptions): Promise<void>
  /** Rejects when the sweep fails, or when the process ends before that. */
  sweep(): Promise<SweepResult>
  /** Kills the process with SIGKILL and starts another one like it. */
  crash(): Promise<void>
}

export async function startStorageServer(place: Place): Promise<StorageServer> {
  const failures: string[] = []
  let opened: Extract<Order, { do: 'open' }> | null = null
  let current = await launch(place, 0, failures)
  const { port } = current

  const open = async (order: Extract<Order, { do: 'open' }>) => {
    opened = order
    await current.ask(order, 'opened')
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}/files`,
    failures,
    open: (prefix, options) => open({ do: 'open', prefix, options }),
    async sweep() {
      const { result, error } = await current.ask({ do: 'sweep' }, 'swept')
      if (result === null) throw new Error(`The sweep failed: ${error}`)
      return result
    },
    async crash() {
      await current.kill()
      current = await launch(place, port, failures)
      if (opened !== null) await open(opened)
    },
    [Symbol.asyncDispose]: () => current.kill(),
  }
}

/** Those that a test left behind which did not come to its end: they would keep this process alive. */
export function endStorageServers(): void {
  for (const child of children) child.kill('SIGKILL')
}

const children = new Set<ChildProcess>()

interface Running {
  readonly port: number
  ask<K extends News['is']>(order: Order, answer: K): Promise<Extract<News, { is: K }>>
  kill(): Promise<void>
}

async function launch(place: Place, port: number, failures: string[]): Promise<Running> {
  const child = fork(new URL('storage-child.ts', import.meta.url), {
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: (cache ??= makeCache()) },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  children.add(child)
  const waiting: { readonly kind: News['is']; resolve(news: News): void; reject(error: Error): void }[] = []
  child.on('message', (news: News) => {
    if (news.is === 'failure') {
      failures.push(news.text)
      if (failures.length > 40) failures.shift()
      return
    }
    const index = waiting.findIndex(({ kind }) => kind === news.is)
    if (index >= 0) waiting.splice(index, 1)[0]!.resolve(news)
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  // An order that it does not live to read. `once` of node:events would take this for the end of the wait for its exit.
  child.on('error', (error) => failures.push(`An order did not arrive: ${error.message}`))
  child.once('exit', (code, signal) => {
    children.delete(child)
    if (signal !== 'SIGKILL') failures.push(`THE PROCESS ENDED BY ITSELF (${String(signal ?? code)})`)
    for (const each of waiting.splice(0)) each.reject(new Error(`The server ended (${String(signal ?? code)})`))
  })

  const hear = <K extends News['is']>(kind: K) =>
    new Promise<Extract<News, { is: K }>>((resolve, reject) => {
      waiting.push({ kind, resolve: (news) => resolve(news as Extract<News, { is: K }>), reject })
    })
  const ask = <K extends News['is']>(order: Order, answer: K) => {
    const heard = hear(answer)
    if (child.connected) child.send(order)
    return heard
  }
  await hear('started')
  const listening = await ask({ do: 'listen', place, port }, 'listening')
  return { port: listening.port, ask, kill: () => (child.kill('SIGKILL'), gone) }
}

/** Compiled code, so that a process after the first one starts quickly. */
let cache: string | undefined

function makeCache(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fileloft-compiled-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
