import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Platform } from '../platform.ts'
import { type Body, hasBody, noBody, readBody } from './body.ts'

// Types only: `fileloft/hono` imports this file on every runtime.

/** A request as Node's servers hand it over, HTTP/1.1 or HTTP/2. */
export type Incoming = IncomingMessage | Http2ServerRequest

/** The answer that belongs to it. */
export type Outgoing = ServerResponse | Http2ServerResponse

export interface PlatformOptions {
  /** Called for each chunk of the body with its size in bytes. */
  readonly onReceived?: ((size: number) => void) | null
  /** See `Platform`. */
  readonly freeChunk?: ((chunk: Uint8Array) => void) | undefined
  /** See `BodyEvents`. */
  readonly directFrom?: number
  /** See `Platform`. */
  readonly answerHeaders?: Readonly<Record<string, string>>
}

export interface NodePlatform extends Platform {
  readonly body: Body
  readonly trailers: () => Headers
  readonly encrypted: boolean
  /** Bytes of the body read so far. */
  readonly received: () => number
}

/** What Node knows about a request. Nothing is read before the body is iterated. */
export function nodePlatform(
  incoming: Incoming,
  outgoing: Outgoing,
  { onReceived, freeChunk, directFrom, answerHeaders = {} }: PlatformOptions = {},
): NodePlatform {
  let received = 0
  const { socket } = incoming
  const read = () =>
    readBody(incoming, {
      onStart() {
        if (mustInvite.delete(incoming)) outgoing.writeContinue()
      },
      onChunk(size) {
        received += size
        onReceived?.(size)
      },
      directFrom,
    })
  return {
    body: hasBody(incoming) ? read() : noBody,
    freeChunk,
    trailers: () => trailersOf(incoming),
    remoteAddress: socket.remoteAddress,
    remotePort: socket.remotePort,
    encrypted: 'encrypted' in socket && socket.encrypted === true,
    received: () => received,
    answerHeaders,
  }
}

/** Requests with `Expect: 100-continue` whose client still waits to be asked for the body. */
const mustInvite = new WeakSet<Incoming>()

/**
 * Notes that nobody has answered `Expect: 100-continue` yet: it is answered when the body is first read, so a request
 * that is refused never makes its client send one. To be called from a server's `checkContinue` event, without which
 * Node answers at once.
 */
export function inviteLater(incoming: Incoming): void {
  mustInvite.add(incoming)
}

function trailersOf(incoming: Incoming): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.trailers)) {
    if (typeof value === 'string') headers.append(name, value)
  }
  return headers
}
