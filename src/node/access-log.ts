import type { Logger } from 'pino'
import type { Incoming, NodePlatform, Outgoing } from './platform.ts'

/** Writes one line when a request is over. Paths only: queries and headers may hold secrets. */
export function logWhenDone(
  log: Logger,
  mount: string,
  incoming: Incoming,
  outgoing: Outgoing,
  platform: NodePlatform,
): void {
  const { method = '', url = '' } = incoming
  const started = performance.now()
  outgoing.once('close', () => {
    const path = pathOf(url)
    const isProbe = path === '/healthz' || path === '/readyz'
    const status = outgoing.statusCode
    const level = status >= 500 ? 'error' : isProbe ? 'debug' : 'info'
    if (!log.isLevelEnabled(level)) return
    const id = path.startsWith(`${mount}/`) && !isProbe ? path.slice(mount.length + 1) : ''
    const line = {
      method,
      path,
      ...(id !== '' && { id }),
      status,
      bytes: platform.received(),
      ms: Math.round((performance.now() - started) * 10) / 10,
      // Gone before the answer was out.
      ...(!outgoing.writableFinished && { aborted: true }),
    }
    log[level](line, 'request')
  })
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  const path = end < 0 ? url : url.slice(0, end)
  // A proxy's absolute form may name a user and a password.
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '')
}
