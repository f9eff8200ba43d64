import type { Logger } from 'pino'
import type { Incoming, NodePlatform, Outgoing } from './platform.ts'

/** What becomes known about a request while it runs. */
export interface RequestNotes {
  /** Id of the upload that it creates. */
  created?: string
}

/** Status of a request whose client went before there was an answer, as nginx writes it. */
const clientGone = 499

/** Writes one line when a request is over. Paths only: queries and headers may hold secrets. */
export function logWhenDone(
  log: Logger,
  mount: string,
  incoming: Incoming,
  outgoing: Outgoing,
  platform: NodePlatform,
): RequestNotes {
  const { method = '', url = '' } = incoming
  const started = performance.now()
  const notes: RequestNotes = {}
  outgoing.once('close', () => {
    const path = pathOf(url)
    const isProbe = path === '/healthz' || path === '/readyz'
    const status = outgoing.headersSent ? outgoing.statusCode : clientGone
    // 503 is what clients are told who shall come back: at a shutdown, or when their own body stood still.
    const level = status === 503 ? 'warn' : status >= 500 ? 'error' : isProbe ? 'debug' : 'info'
    if (!log.isLevelEnabled(level)) return
    const id = notes.created ?? (path.startsWith(`${mount}/`) && !isProbe ? path.slice(mount.length + 1) : '')
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
  return notes
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  const path = end < 0 ? url : url.slice(0, end)
  // A proxy's absolute form may name a user and a password.
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '')
}
