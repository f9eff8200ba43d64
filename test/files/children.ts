import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { News, Order } from './locker-child.ts'

/** A locker in another process. */
export interface Child {
  readonly pid: number
  tell(order: Order): void
  /** The next news of this kind, or the one that came already; each is told once. */
  news<K extends News['is']>(kind: K): Promise<Extract<News, { is: K }>>
  /** Whether news of this kind have come that nobody has asked for yet. */
  has(kind: News['is']): boolean
  signal(name: NodeJS.Signals): void
  /** Ends it with SIGKILL and waits until it is gone. */
  kill(): Promise<void>
}

export async function startChild(directory: string): Promise<Child> {
  const process = fork(new URL('locker-child.ts', import.meta.url), [directory], { stdio: 'inherit' })
  const came: News[] = []
  const asked: { kind: News['is']; resolve(news: News): void }[] = []
  process.on('message', (news: News) => {
    const index = asked.findIndex(({ kind }) => kind === news.is)
    if (index === -1) came.push(news)
    else asked.splice(index, 1)[0]!.resolve(news)
  })
  const child: Child = {
    pid: process.pid!,
    tell: (order) => void process.send(order),
    news<K extends News['is']>(kind: K) {
      return new Promise<Extract<News, { is: K }>>((resolve) => {
        const take = (news: News | undefined): void => resolve(news as Extract<News, { is: K }>)
        const index = came.findIndex((news) => news.is === kind)
        if (index === -1) asked.push({ kind, resolve: take })
        else take(came.splice(index, 1)[0])
      })
    },
    has: (kind) => came.some((news) => news.is === kind),
    signal: (name) => void process.kill(name),
    kill: () => end(process),
  }
  await child.news('ready')
  return child
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  const gone = once(process, 'exit')
  process.kill('SIGKILL')
  await gone
}
