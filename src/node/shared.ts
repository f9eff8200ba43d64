import type { MessagePort } from 'node:worker_threads'
import type { Counts } from './metrics/meters.ts'
import { createLedger, type Ledger, type QuotaLimits } from './quota/ledger.ts'
import { connectPort, type Methods, type Remote } from './rpc.ts'

/** What the threads that serve together do as one: limits and metrics are those of the process. */
export interface Shared {
  readonly ledger: Ledger
  /** Takes part in the metrics of the process. @param collect What this thread has counted so far. */
  readonly join: (collect: () => Promise<Counts>) => void
  /** The metrics of the process. @throws Error when a thread does not answer. */
  readonly metrics: () => Promise<string>
}

/** The main thread's. */
export interface MainShared extends Shared {
  /** Lets another thread take part, which gives the port's other end to `joinShared`. */
  readonly connect: (port: MessagePort) => void
}

/** What the main thread does for another one. */
type MainMethods = Readonly<Pick<Ledger, 'enter' | 'leave' | 'charge'>> & {
  readonly metrics: () => Promise<string>
} & Methods

/** What another thread does for the main one. */
type ThreadMethods = {
  readonly collect: () => Promise<Counts>
  /** Answers once the main thread has been told what was to be told before. */
  readonly ping: () => void
} & Methods

/** Milliseconds that a thread may be busy with something else. */
const timeoutMs = 5_000

/** To be made once, in the main thread. */
export function createShared(limits: QuotaLimits): MainShared {
  const own = createLedger(limits)
  const threads: Pick<Remote<ThreadMethods>, 'ping'>[] = []
  /** A client that has its answer from another thread may ask before that one has told that its place is free. */
  const enterOnceTold: Ledger['enter'] = async (client, slot) => {
    await Promise.allSettled(threads.map((thread) => thread.ping()))
    return own.enter(client, slot)
  }
  const ledger: Ledger = {
    ...own,
    enter(client, slot) {
      const refusal = own.enter(client, slot)
      return refusal === null || threads.length === 0 ? refusal : enterOnceTold(client, slot)
    },
  }
  const members: (() => Promise<Counts>)[] = []
  let whole: ReturnType<typeof loadProcessMetrics> | undefined
  const metrics = async () => {
    const { text } = await (whole ??= loadProcessMetrics())
    return text(await Promise.all(members.map((collect) => collect())))
  }
  return {
    ledger,
    metrics,
    join(collect) {
      members.push(collect)
      // Some of the process's own figures begin when they are first wanted.
      whole ??= loadProcessMetrics()
    },
    connect(port) {
      const methods: MainMethods = {
        enter: (client, slot) => ledger.enter(client, slot),
        leave: (client, slot) => ledger.leave(client, slot),
        charge: (client, bytes) => ledger.charge(client, bytes),
        metrics,
      }
      const thread = connectPort<ThreadMethods>(port, methods, timeoutMs)
      members.push(() => thread.collect())
      threads.push(thread)
    },
  }
}

/** Another thread's end of it. */
export function joinShared(port: MessagePort): Shared {
  const members: (() => Promise<Counts>)[] = []
  const collect = async (): Promise<Counts> => (await members[0]?.()) ?? []
  const main: Remote<MainMethods> = connectPort<MainMethods>(
    port,
    { collect, ping() {} },
    timeoutMs,
    (method, args, value) => {
      // A place that was had when nobody waited for it any more.
      if (method === 'enter' && value === null) void main.leave(...(args as [string, string])).catch(() => {})
    },
  )
  return {
    ledger: {
      enter: (client, slot) => main.enter(client, slot),
      leave: (client, slot) => void main.leave(client, slot).catch(() => {}),
      // A main thread that hangs shall not end uploads.
      charge: (client, bytes) => main.charge(client, bytes).catch(() => Infinity),
    },
    metrics: () => main.metrics(),
    join: (own) => void members.push(own),
  }
}

/** Loaded only where metrics are wanted. */
async function loadProcessMetrics() {
  const { processMetrics } = await import('./metrics/process.ts')
  return processMetrics()
}
