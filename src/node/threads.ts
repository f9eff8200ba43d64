import { availableParallelism } from 'node:os'
import type { SecureContextOptions } from 'node:tls'
import { MessageChannel, type Worker } from 'node:worker_threads'
import { setTimeout as delay } from 'node:timers/promises'
import type { Address } from './address.ts'
import type { Config } from './config.ts'
import type { Logs } from './logger.ts'
import { type Report, sendOrder, type ThreadStart } from './messages.ts'
import { newWorker } from './new-worker.ts'
import type { MainShared } from './shared.ts'

/** The worker threads of the process, as one. */
export interface Threads {
  /**
   * Starts them; resolves when all are ready to listen. To be called once.
   * @throws what keeps one of them from starting.
   */
  start(): Promise<void>
  /** Lets them listen on a port that they share. @throws what keeps one of them from it. */
  listen(address: Address): Promise<void>
  /** They take another certificate for connections from now on. */
  setTls(tls: SecureContextOptions): void
  /** Closes their servers. False when one of them had to give up work on a request. */
  close(): Promise<boolean>
  /** The process is to end, and they shall not keep it. */
  abandon(): void
}

/** More bring no more speed than they take memory, unless they are asked for. */
const mostByDefault = 2

/** How many threads serve, this one included, and what there is to say about it. */
export function threadCount(config: Pick<Config, 'workers' | 'unixSocket' | 'backend'>): {
  readonly count: number
  readonly notice: string | null
} {
  const { workers, unixSocket, backend } = config
  const obstacle =
    unixSocket !== undefined
      ? 'a Unix socket is listened on by one thread'
      : sharesPorts()
        ? null
        : 'several threads on one port need Linux and Node 22.12 or newer'
  if (workers === 'auto') {
    // On object storage each would have a buffer budget of its own.
    const count = obstacle === null && backend === 'fs' ? Math.min(availableParallelism(), mostByDefault) : 1
    return { count, notice: null }
  }
  if (obstacle === null || workers === 1) return { count: workers, notice: null }
  return { count: 1, notice: `FILELOFT_WORKERS is ${workers}, but there is one: ${obstacle}` }
}

/** Whether `listen` knows `reusePort`, and the system deals connections out to all who listen so. */
function sharesPorts(platform = process.platform, version = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  // Bun takes the option and shares nothing.
  if (process.versions.bun !== undefined) return false
  return platform === 'linux' && (major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12))
}

/**
 * Worker threads that serve beside this one. One that ends by itself takes the process with it, as an uncaught exception
 * does: its connections are gone, and what it has locked is free only then.
 */
export function createThreads(count: number, config: Config, logs: Logs, shared: Pick<MainShared, 'connect'>): Threads {
  const threads: Thread[] = []
  return {
    async start() {
      for (let number = 0; number < count; number++) threads.push(startThread(config, logs, shared))
      await Promise.all(threads.map(({ ready }) => ready))
    },
    async listen(address) {
      for (const { worker } of threads) sendOrder(worker, { type: 'listen', address })
      await Promise.all(threads.map(({ listening }) => listening))
    },
    setTls(tls) {
      for (const { worker } of threads) sendOrder(worker, { type: 'tls', tls })
    },
    async close() {
      for (const { worker } of threads) sendOrder(worker, { type: 'close' })
      // One that hangs in the middle of something would keep the process for ever.
      const late = delay(config.shutdownTimeout * 1000 + 2000, false, { ref: false })
      const results = await Promise.all(threads.map(({ closed }) => Promise.race([closed, late])))
      return results.every(Boolean)
    },
    abandon() {
      for (const { worker } of threads) worker.unref()
    },
  }
}

interface Thread {
  readonly worker: Worker
  /** Both reject with what keeps it from starting. */
  readonly ready: Promise<void>
  readonly listening: Promise<void>
  /** Resolves, once it was told to close, with whether its work is done. */
  readonly closed: Promise<boolean>
}

function startThread(config: Config, logs: Logs, shared: Pick<MainShared, 'connect'>): Thread {
  const { port1, port2 } = new MessageChannel()
  const start: ThreadStart = { config, shared: port2 }
  const worker = newWorker({ workerData: start, transferList: [port2] })
  shared.connect(port1)
  const ready = Promise.withResolvers<void>()
  const listening = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<boolean>()
  let hasStarted = false
  const fail = (error: unknown) => {
    if (hasStarted) throw error
    ready.reject(error)
    listening.reject(error)
  }
  // One of them is waited for.
  for (const { promise } of [ready, listening]) promise.catch(() => {})
  worker.on('error', fail)
  worker.on('exit', (code) => fail(new Error(`A worker thread ended with code ${code}`)))
  worker.on('message', (report: Report) => {
    switch (report.type) {
      case 'ready':
        ready.resolve()
        break
      case 'listening':
        hasStarted = true
        listening.resolve()
        break
      case 'log':
        logs.write(report.lines)
        break
      case 'closed':
        closed.resolve(report.isDone)
        break
    }
  })
  return { worker, ready: ready.promise, listening: listening.promise, closed: closed.promise }
}
