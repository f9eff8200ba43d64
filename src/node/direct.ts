import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** The bytes of one body, on their way from the socket past Node's parser. */
export interface DirectReading {
  /** Reads nothing more for the moment. */
  pause(): void
  resume(): void
  /** Ends it, wherever it is: what comes next is the parser's again, the rest of the body if there is one. */
  release(): void
}

/**
 * What Node keeps to itself of a socket and its parser. `net.connect` has an option to read into a buffer of the
 * caller's (`onread`), connections that were accepted have none; these three are what the option sets.
 */
interface Internals {
  readonly socket: Record<symbol, unknown>
  readonly handle: { useUserBuffer(buffer: Uint8Array): void }
  readonly symbols: Readonly<Record<'kBuffer' | 'kBufferCb' | 'kBufferGen', symbol>>
}

/**
 * Where every socket that is read directly puts its bytes. One for all: whoever is called takes them out before any other
 * socket is read, so that idle connections hold nothing, and the bytes are still in the processor's cache then.
 */
let scratch: Buffer | undefined

/** As many as the system hands out at once where a client is fast. */
const scratchBytes = 512 * 1024

/** As many as Node reads for its parser: so many bytes of pipelined requests are begun at once, whoever sends them. */
const parserBytes = 64 * 1024

/** Fed to the parser in place of bytes that went past it; it looks at none of them. Never touched, so it takes no memory. */
let zeros: Buffer | undefined

const zerosBytes = 64 << 20

/** What a socket does that has been read directly once. Its bytes come that way from then on, for the parser or not. */
interface Diverted {
  onBody: ((bytes: Uint8Array) => void) | null
  /** Bytes of the body that are still to come; 0 while none is read. */
  left: number
}

const diversion = Symbol('diversion')

type Divertible = Socket & { [diversion]?: Diverted }

/**
 * Reads the rest of a request's body from its socket, with large reads into one buffer. Node's parser would take it in
 * reads of 64 KiB and copy each into a new buffer, which is half of the processor's time that an upload takes. The parser
 * is told of the body when it is over, so that the connection goes on as if nothing had been.
 * @param left Bytes of the body that the parser has not delivered yet.
 * @param onBytes Called with bytes that are there only until it returns, never with more than what is left. Not called
 * again after `release`.
 * @returns null where it is not possible: this is no plain HTTP/1.1 on a Node that has what it takes.
 */
export function readDirectly(
  incoming: IncomingMessage,
  left: number,
  onBytes: (bytes: Uint8Array) => void,
): DirectReading | null {
  const socket = incoming.socket as Divertible
  if (isHeldBack(socket)) return null
  const diverted = socket[diversion] ?? divert(socket)
  if (diverted === null || parserOf(socket) === null) return null
  let taken = 0

  function release(): void {
    if (diverted === null || diverted.onBody !== onBody) return
    diverted.onBody = null
    diverted.left = 0
    tell(socket, taken)
    // Else nobody would: the parser knows nothing of a pause.
    socket.resume()
  }

  function onBody(bytes: Uint8Array): void {
    const own = bytes.subarray(0, left - taken)
    taken += own.length
    if (diverted !== null) diverted.left = left - taken
    onBytes(own)
    if (taken < left) return
    release()
    if (bytes.length > own.length) toParser(socket, bytes.subarray(own.length))
  }

  diverted.onBody = onBody
  diverted.left = left
  return { pause: () => void socket.pause(), resume: () => void socket.resume(), release }
}

/**
 * Whether Node reads nothing because answers to earlier requests of this connection wait to be taken. It would end the
 * process if bytes came all the same. It begins to do so only with a request, so never in the middle of a body.
 */
function isHeldBack(socket: Socket): boolean {
  return (socket as Socket & { _paused?: unknown })._paused !== false
}

function divert(socket: Divertible): Diverted | null {
  const found = internalsOf(socket)
  // Bytes that wait in the socket itself come from whoever looked at them before the parser.
  if (found === null || socket.readableLength > 0) return null
  const { socket: inner, handle, symbols } = found
  const diverted: Diverted = { onBody: null, left: 0 }
  const whole = (scratch ??= Buffer.allocUnsafeSlow(scratchBytes))
  let buffer = whole.subarray(0, parserBytes)
  inner[symbols.kBuffer] = buffer
  // Asked behind each read for the buffer of the next one; it stays the same if this is none.
  inner[symbols.kBufferGen] = () => {
    const size = Math.min(Math.max(diverted.left, parserBytes), scratchBytes)
    return size === buffer.length ? undefined : (buffer = whole.subarray(0, size))
  }
  inner[symbols.kBufferCb] = (count: number) => {
    const bytes = buffer.subarray(0, count)
    if (diverted.onBody === null) toParser(socket, bytes)
    else diverted.onBody(bytes)
  }
  // Makes Node take its parser off the handle.
  socket.on('data', () => {})
  handle.useUserBuffer(buffer)
  socket[diversion] = diverted
  return diverted
}

function internalsOf(socket: Socket): Internals | null {
  const inner = socket as unknown as Record<symbol, unknown> & { _handle?: unknown }
  const handle = inner._handle
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return null
  // TLS comes in records of 16 KiB: nothing would be gained.
  if ('encrypted' in socket) return null
  const known = Object.getOwnPropertySymbols(socket)
  const named = (name: string) => known.find(({ description }) => description === name)
  const [kBuffer, kBufferCb, kBufferGen] = [named('kBuffer'), named('kBufferCb'), named('kBufferGen')]
  if (kBuffer === undefined || kBufferCb === undefined || kBufferGen === undefined) return null
  return {
    socket: inner,
    handle: handle as Internals['handle'],
    symbols: { kBuffer, kBufferCb, kBufferGen },
  }
}

/** Node's parser of a connection: what it calls is in numbered properties. */
type Parser = Record<number, unknown>

interface ParserOfSocket {
  readonly parser: Parser
  /** Where it keeps what it calls with bytes of a body. */
  readonly onBody: number
}

function parserOf(socket: Socket): ParserOfSocket | null {
  const { parser } = socket as Socket & { parser?: Parser | null }
  if (parser === undefined || parser === null) return null
  for (let index = 0; index < 10; index++) {
    const callback = parser[index]
    if (typeof callback === 'function' && callback.name === 'parserOnBody') return { parser, onBody: index }
  }
  return null
}

/** Node listens for bytes of the socket in order to parse them, however they come. */
function toParser(socket: Socket, bytes: Uint8Array): void {
  if ((socket as { parser?: unknown }).parser) socket.emit('data', Buffer.from(bytes))
}

/** Lets the parser count bytes of a body that it has not seen, without delivering any. */
function tell(socket: Socket, count: number): void {
  const found = parserOf(socket)
  if (found === null) return
  const { parser, onBody } = found
  const callback = parser[onBody]
  zeros ??= Buffer.alloc(zerosBytes)
  // Without somebody to call it copies nothing.
  parser[onBody] = undefined
  try {
    for (let left = count; left > 0; left -= zerosBytes)
      socket.emit('data', zeros.subarray(0, Math.min(left, zerosBytes)))
  } finally {
    parser[onBody] = callback
  }
}
