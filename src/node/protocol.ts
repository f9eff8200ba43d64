import type { Socket } from 'node:net'

/** How every HTTP/2 connection begins, and no request of HTTP/1.1. */
const preface = 'PRI * HTTP/2.0\r\n'

/**
 * Looks at a connection's first bytes, leaves them unread and tells what the client speaks; null when it has gone or
 * said nothing for `timeoutMs`.
 */
export function tellProtocol(
  socket: Socket,
  timeoutMs: number,
  tell: (protocol: 'http1' | 'http2' | null) => void,
): void {
  let seen = Buffer.alloc(0)
  const finish = (protocol: 'http1' | 'http2' | null) => {
    clearTimeout(timer)
    socket.off('data', onData).off('close', onGone).off('error', onGone)
    if (protocol === null) {
      socket.destroy()
      tell(null)
      return
    }
    socket.pause()
    socket.unshift(seen)
    tell(protocol)
    // Once its new owner listens.
    process.nextTick(() => socket.resume())
  }
  const onData = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk])
    const start = seen.toString('latin1', 0, preface.length)
    if (!preface.startsWith(start)) finish('http1')
    else if (start.length === preface.length) finish('http2')
  }
  const onGone = () => finish(null)
  const timer = setTimeout(onGone, timeoutMs)
  socket.on('data', onData).once('close', onGone).once('error', onGone)
}
