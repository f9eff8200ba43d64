import { createServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttp2Server, type Http2Session } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { type Incoming, inviteLater, type Outgoing } from './platform.ts'
import { tellProtocol } from './protocol.ts'

export interface HttpOptions {
  /** TLS, with HTTP/2 for those who ask for it; null = none. */
  readonly tls: SecureContextOptions | null
  /** HTTP/2 without TLS beside HTTP/1.1. */
  readonly h2c: boolean
}

/** The servers for one address, as one. */
export interface Http {
  readonly server: HttpServer
  /** Takes another certificate for connections from now on. */
  setTls(tls: SecureContextOptions): void
  /** Stops accepting and closes what is idle. Resolves when all connections are gone. */
  close(): Promise<void>
  /** Ends every connection at once. Resolves when their requests have been told. */
  destroy(): Promise<void>
}

/** Milliseconds in which a request's headers must arrive. */
const headersTimeout = 60_000

const settings = {
  // It would cut every body that takes longer; the handler watches for bodies that stand still.
  requestTimeout: 0,
  headersTimeout,
  // Longer than the minute for which proxies keep theirs.
  keepAliveTimeout: 65_000,
  // An Upload-Concat names every partial upload; Node's 16 KiB end at about 200 of them.
  maxHeaderSize: 64 * 1024,
  noDelay: true,
}

/** Bytes a client may send ahead: HTTP/2's own 64 KiB make every upload wait for the round trip. */
const window = 1024 * 1024

/** Makes the server: HTTP/1.1, with HTTP/2 beside it where TLS or h2c allow. Nothing listens yet. */
export function createHttp(listener: (incoming: Incoming, outgoing: Outgoing) => void, options: HttpOptions): Http {
  const { tls, h2c } = options
  const secure = tls === null ? null : createHttpsServer({ ...settings, ...tls, ALPNProtocols: ['h2', 'http/1.1'] })
  const server = secure ?? createServer(settings)
  const http2 = createHttp2Server({ settings: { initialWindowSize: window } })
  const connections = new Set<Socket>()
  const sessions = new Set<Http2Session>()
  const undecided = new Set<Socket>()
  /** HTTP/1.1 connections without a request so far. */
  const fresh = new Set<Socket>()
  let closing = false

  for (const each of [server, http2]) {
    each.on('request', listener)
    each.on('checkContinue', (incoming: Incoming, outgoing: Outgoing) => {
      inviteLater(incoming)
      listener(incoming, outgoing)
    })
  }
  server.on('request', ({ socket }) => fresh.delete(socket))
  server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
    if (secure === null && !h2c) remember(socket)
  })
  server.on('clientError', answerBroken)
  http2.on('session', (session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
    session.setLocalWindowSize(2 * window)
    if (closing) session.close()
  })

  const remember = (socket: Socket) => {
    // It was accepted before, and its TLS handshake has taken until now.
    if (closing) socket.destroy()
    fresh.add(socket)
    socket.once('close', () => fresh.delete(socket))
  }
  const toHttp2 = (socket: Socket) => {
    // HTTP/2 knows no half-open connections, and would never notice that its client has gone.
    socket.allowHalfOpen = false
    http2.emit('connection', socket)
  }
  if (secure !== null) {
    divert(secure, 'secureConnection', (socket: TLSSocket, toHttp1) => {
      if (socket.alpnProtocol === 'h2') return toHttp2(socket)
      remember(socket)
      toHttp1()
    })
  } else if (h2c) {
    divert(server, 'connection', (socket: Socket, toHttp1) => {
      undecided.add(socket)
      tellProtocol(socket, headersTimeout, (protocol) => {
        undecided.delete(socket)
        if (protocol === 'http2') return toHttp2(socket)
        if (protocol === 'http1') toHttp1()
      })
    })
  }

  return {
    server,
    setTls: (next) => secure?.setSecureContext(next),
    close() {
      closing = true
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      for (const session of sessions) session.close()
      for (const socket of undecided) socket.destroy()
      // Opened ahead of a request that never came: Node does not count them as idle. TLS has read its handshake.
      for (const socket of fresh) if (secure !== null || socket.bytesRead === 0) socket.destroy()
      return closed
    },
    async destroy() {
      const closed = [...connections].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
      for (const session of sessions) session.destroy()
      for (const socket of connections) socket.destroy()
      await Promise.all(closed)
      // Streams of HTTP/2 hear of it a little later.
      await nextTurn()
    },
  }
}

const brokenStatuses: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
}

/**
 * Answers what is no HTTP, as Node does by itself. A body that ends too early gets no answer: the 400 that Node sends
 * then tells clients to give up, where they should come back and go on.
 */
function answerBroken(error: Error & { code?: string }, socket: Duplex): void {
  const { code = '' } = error
  if (code !== 'HPE_INVALID_EOF_STATE' && socket.writable) {
    socket.write(`HTTP/1.1 ${brokenStatuses[code] ?? '400 Bad Request'}\r\nConnection: close\r\n\r\n`)
  }
  socket.destroy()
}

/** Comes before the server's own listener for new connections, the first one, and decides whether it gets them. */
function divert<S extends Socket>(
  server: HttpServer,
  event: 'connection' | 'secureConnection',
  decide: (socket: S, toHttp1: () => void) => void,
): void {
  const [own] = server.listeners(event)
  if (own === undefined) throw new TypeError(`the server does not listen for ${event}`)
  server.removeListener(event, own as (socket: S) => void)
  server.on(event, (socket: S) => decide(socket, () => Reflect.apply(own, server, [socket])))
}
