import type { Logger } from 'pino'
import { type Exchange, isProbe, statusOf } from './exchange.ts'

/** Writes one line when a request is over. Paths only: queries and headers may hold secrets. */
export function logWhenDone(log: Logger, mount: string, exchange: Exchange): void {
  const { incoming, outgoing, path, platform, startedAt } = exchange
  outgoing.once('close', () => {
    const probe = isProbe(exchange)
    const status = statusOf(exchange)
    // 503 is what clients are told who shall come back: at a shutdown, or when their own body stood still.
    const level = status === 503 ? 'warn' : status >= 500 ? 'error' : probe ? 'debug' : 'info'
    if (!log.isLevelEnabled(level)) return
    const id = exchange.created ?? (path.startsWith(`${mount}/`) && !probe ? path.slice(mount.length + 1) : '')
    const line = {
      requestId: exchange.id,
      ...(exchange.traceId !== undefined && { traceId: exchange.traceId }),
      method: incoming.method ?? '',
      path,
      ...(id !== '' && { id }),
      status,
      bytes: platform.received(),
      ms: Math.round((performance.now() - startedAt) * 10) / 10,
      // Gone before the answer was out.
      ...(!outgoing.writableFinished && { aborted: true }),
    }
    log[level](line, 'request')
  })
}
