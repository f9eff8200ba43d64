import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { hasBody, isComplete } from './body.ts'
import type { Incoming, Outgoing } from './platform.ts'

/** Milliseconds for which the rest of a refused body is read and thrown away. */
const lingerMs = 2_000
/** Most bytes of it. */
const lingerBytes = 64 * 1024 * 1024

/**
 * Ends the connection behind an answer that does not wait for the body; call it before the headers are sent. On
 * HTTP/1.1 the answer says `Connection: close`, and what still arrives is thrown away for a while: closing a socket
 * with unread bytes resets the connection, and the client would see that instead of the answer. On HTTP/2 the stream
 * is reset without an error. A body that has arrived keeps the connection.
 */
export function closeUnlessComplete(incoming: Incoming, outgoing: Outgoing): void {
  if ('stream' in incoming) {
    if (!isComplete(incoming)) resetAfter(incoming)
  } else if (!('stream' in outgoing) && hasBody(incoming) && !incoming.readableEnded) {
    if (incoming.complete) outgoing.once('finish', () => incoming.resume())
    else lingerAfter(incoming, outgoing)
  }
}

function resetAfter(incoming: Http2ServerRequest): void {
  const { stream } = incoming
  // Not the answer's own `finish`: that comes with the end of the stream, which is what this brings about.
  stream.once('finish', () => {
    // After the frames of the answer, which leave in this turn. A body that was begun and left has to flow first: its
    // stream would not end, or its client not be told.
    setImmediate(() => {
      incoming.resume()
      setImmediate(() => {
        if (!stream.closed) stream.close(0)
      })
    })
  })
}

function lingerAfter(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { socket } = incoming
  outgoing.shouldKeepAlive = false
  // Before Node's own listener, which ends the connection.
  outgoing.prependOnceListener('finish', () => {
    if (incoming.complete) incoming.resume()
    else socket.destroySoon = () => linger(incoming)
  })
}

function linger(incoming: IncomingMessage): void {
  const { socket } = incoming
  Reflect.deleteProperty(socket, 'destroySoon')
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  let left = lingerBytes
  incoming.on('data', (chunk: Buffer) => {
    left -= chunk.byteLength
    if (left < 0) socket.destroy()
  })
  incoming.once('end', () => socket.destroySoon())
  socket.once('close', () => clearTimeout(timer))
  socket.end()
  incoming.resume()
}
