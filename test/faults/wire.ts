/** Bytes over a TCP connection, and what comes back. */
import { connect } from 'node:net'
import type { Malformed } from './malformed.ts'

export interface WireAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** How a connection went: the first final answer, if there was one, and how long it took. */
export interface Outcome {
  readonly answer: WireAnswer | null
  readonly ms: number
  /** Neither an answer nor the end of the connection came in time. */
  readonly hung: boolean
}

/**
 * A server that says nothing for so long may be waiting for the rest; then it is told that there is none. Node ends a
 * connection without an answer then, so a request that is whole just waits.
 */
const quietMs = 400

/** Sends the request and waits for an answer or the end of the connection. */
export function exchange(port: number, request: Malformed, deadlineMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const since = performance.now()
    const parts: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const isHead = request.wire.subarray(0, 5).toString('latin1') === 'HEAD '

    const finish = (hung: boolean) => {
      clearTimeout(quiet)
      clearTimeout(deadline)
      socket.destroy()
      const answer = parse(Buffer.concat(parts), isHead)
      resolve({ answer: answer?.answer ?? null, ms: performance.now() - since, hung })
    }
    const quiet = setTimeout(() => request.sound || socket.end(), quietMs)
    const deadline = setTimeout(() => finish(true), deadlineMs)
    socket.on('data', (part) => {
      parts.push(part)
      if (parse(Buffer.concat(parts), isHead)?.whole === true) finish(false)
    })
    socket.on('close', () => finish(false))
    // A reset is an end like any other here.
    socket.on('error', () => undefined)
    socket.write(request.wire, () => {
      if (request.after === 'end') socket.end()
      if (request.after === 'reset') socket.resetAndDestroy()
    })
  })
}

/** The first answer that is not 1xx, as far as it is there. */
function parse(bytes: Buffer, isHead: boolean): { answer: WireAnswer; whole: boolean } | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [line = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1] ?? 0)
  const rest = bytes.subarray(end + 4)
  if (status >= 100 && status < 200) return parse(rest, isHead)
  const headers: Record<string, string> = {}
  for (const field of lines) {
    const colon = field.indexOf(':')
    headers[field.slice(0, colon).toLowerCase()] = field.slice(colon + 1).trim()
  }
  const bodiless = isHead || status === 204 || status === 304
  const chunked = headers['transfer-encoding'] === 'chunked'
  const length = headers['content-length']
  const whole =
    bodiless ||
    (chunked ? rest.toString('latin1').endsWith('0\r\n\r\n') : length !== undefined && rest.length >= Number(length))
  return { answer: { status, headers, body: bodiless ? '' : rest.toString('utf8') }, whole }
}
