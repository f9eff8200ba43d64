import type { Incoming, Outgoing } from './platform.ts'

/**
 * Ends a download whose client takes no byte for so long: it would hold its connection and an open file for ever. The
 * time that the storage takes does not count. Call it before the body is written.
 * @param timeoutMs 0 = never. @default 60_000
 */
export function cutWhenStuck(incoming: Incoming, outgoing: Outgoing, timeoutMs = 60_000): void {
  if (incoming.method !== 'GET' || timeoutMs === 0) return
  // Node starts the time again whenever the system has taken some bytes, also within one write.
  const limit = () =>
    void ('stream' in outgoing ? outgoing.stream.setTimeout(timeoutMs) : outgoing.setTimeout(timeoutMs))
  outgoing.on('timeout', () => {
    if (unsent(outgoing) > 0) outgoing.destroy()
    else limit()
  })
  limit()
}

function unsent(outgoing: Outgoing): number {
  return 'stream' in outgoing ? outgoing.stream.writableLength : outgoing.writableLength
}
