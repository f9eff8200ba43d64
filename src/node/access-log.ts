import { type Exchange, isProbe, statusOf } from './exchange.ts'
import type { LineLog } from './loggers.ts'

/** What is logged of a request. What is undefined is left out. */
interface Line {
  readonly requestId: string
  readonly traceId: string | undefined
  readonly method: string
  readonly path: string
  readonly id: string | undefined
  readonly status: number
  /** Of the body, as far as it arrived. */
  readonly bytes: number
  readonly ms: number
  /** The client was gone before the answer was out. */
  readonly aborted: true | undefined
}

/** Writes one line when a request is over. Paths only: queries and headers may hold secrets. */
export function logWhenDone(log: LineLog, mount: string, exchange: Exchange): void {
  exchange.ends.push(() => {
    const { incoming, outgoing, path, platform, startedAt } = exchange
    const probe = isProbe(exchange)
    const status = statusOf(exchange)
    // 503 is what clients are told who shall come back: at a shutdown, or when their own body stood still.
    const level = status === 503 ? 'warn' : status >= 500 ? 'error' : probe ? 'debug' : 'info'
    if (!log.isLevelEnabled(level)) return
    const isBelow = !probe && path.length > mount.length + 1 && path.startsWith(mount) && path[mount.length] === '/'
    const line: Line = {
      requestId: exchange.id,
      traceId: exchange.traceId,
      method: incoming.method ?? '',
      path,
      id: exchange.created ?? (isBelow ? path.slice(mount.length + 1) : undefined),
      status,
      bytes: platform.received(),
      ms: Math.round((performance.now() - startedAt) * 10) / 10,
      aborted: outgoing.writableFinished ? undefined : true,
    }
    log.write(level, line, 'request')
  })
}
