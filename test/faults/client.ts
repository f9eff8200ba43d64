/** A tus client over `node:http` that knows how many bytes it has handed to the socket, and can let go at any of them. */
import { Agent, type ClientRequest, request as httpRequest } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Buffer
}

export type Headers = Readonly<Record<string, string>>

export interface Exchange {
  /** `null` when the connection ended before an answer was there. */
  readonly answer: Promise<Answer | null>
  /** Breaks the connection. */
  abort(): void
}

export interface Sending {
  readonly headers?: Headers
  readonly body?: Uint8Array
  /** Bytes of the body that are sent before the client falls silent, its connection open. @default all */
  readonly stallAfter?: number
  /** Told after each piece that the socket has taken, with the body's bytes so far. */
  readonly onSent?: (bytes: number) => void
  /** How often the body is sent, one after the other in one request. @default 1 */
  readonly times?: number
  /** Sends the body without Content-Length. @default false */
  readonly chunked?: boolean
}

export const octets = 'application/offset+octet-stream'

/** Bytes handed to the socket at once. */
const pieceBytes = 64 * 1024

/** A request that has not been answered by then is given up, so that no test waits for ever. */
const patienceMs = 45_000

/** A request with `Tus-Resumable`, on a connection of its own or of `agent`. */
export function send(url: string, method: string, options: Sending = {}, agent: Agent | false = false): Exchange {
  const { body, chunked = false, times = 1 } = options
  const request = httpRequest(url, {
    method,
    agent,
    headers: {
      'Tus-Resumable': '1.0.0',
      ...(body !== undefined && !chunked && { 'Content-Length': body.length * times }),
      ...(body !== undefined && chunked && { 'Transfer-Encoding': 'chunked' }),
      ...options.headers,
    },
  })
  request.setNoDelay(true)
  const timer = setTimeout(() => request.destroy(), patienceMs)
  request.once('close', () => clearTimeout(timer))
  const answer = answerTo(request)
  if (body === undefined) request.end()
  else void pour(request, body, options)
  return { answer, abort: () => void request.destroy() }
}

async function pour(
  request: ClientRequest,
  body: Uint8Array,
  { stallAfter, onSent, times = 1 }: Sending,
): Promise<void> {
  const end = Math.min(stallAfter ?? Infinity, body.length * times)
  for (let sent = 0; sent < end && !request.destroyed;) {
    const from = sent % body.length
    const next = Math.min(sent + pieceBytes, sent - from + body.length, end)
    const piece = body.subarray(from, from + next - sent)
    const failed = await new Promise((done) => request.write(piece, done))
    if (failed instanceof Error) return
    sent = next
    onSent?.(sent)
  }
  if (stallAfter === undefined) request.end()
  else request.flushHeaders()
}

function answerTo(request: ClientRequest): Promise<Answer | null> {
  return new Promise((resolve) => {
    request.once('error', () => resolve(null))
    request.once('close', () => resolve(null))
    request.once('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.once('error', () => resolve(null))
      response.once('end', () => {
        const headers = response.headers as Record<string, string | undefined>
        resolve({ status: response.statusCode ?? 0, headers, body: Buffer.concat(parts) })
      })
    })
  })
}

/** HEAD, PATCH and so on of one server, as tests write them. Paths outlive the server that answered them. */
export interface Client {
  /** Tells the new upload's path. @throws Error for any answer but 201. */
  create(length: number | null, headers?: Headers): Promise<string>
  head(path: string): Promise<Answer>
  /** The offset that HEAD tells; asks again while the answer is 423. @throws Error for any other answer but 200. */
  offset(path: string): Promise<number>
  patch(path: string, offset: number, body: Uint8Array, options?: Sending): Exchange
  remove(path: string): Promise<Answer>
  get(path: string): Promise<Answer>
  close(): void
}

export function client(server: { readonly origin: string; readonly url: string }, keepAlive = true): Client {
  const agent = keepAlive ? new Agent({ keepAlive: true }) : false
  const ask = (method: string, path: string, options: Sending = {}) =>
    whole(send(server.origin + path, method, options, agent), `${method} ${path}`)
  return {
    async create(length, headers = {}) {
      const size: Headers = length === null ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(length) }
      return locationOf(await whole(send(server.url, 'POST', { headers: { ...size, ...headers } }, agent), 'POST'))
    },
    head: (path) => ask('HEAD', path),
    async offset(path) {
      for (let attempt = 1; ; attempt++) {
        const answer = await ask('HEAD', path)
        if (answer.status === 200) return offsetIn(answer)
        if (answer.status !== 423 || attempt === 20) throw new Error(`HEAD ${path} answered ${answer.status}`)
      }
    },
    patch: (path, offset, body, options = {}) =>
      send(
        server.origin + path,
        'PATCH',
        { ...options, body, headers: { 'Content-Type': octets, 'Upload-Offset': String(offset), ...options.headers } },
        agent,
      ),
    remove: (path) => ask('DELETE', path),
    get: (path) => ask('GET', path),
    close: () => agent && agent.destroy(),
  }
}

/** The answer. @throws Error when the connection broke instead. */
export async function whole(exchange: Exchange, what: string): Promise<Answer> {
  const answer = await exchange.answer
  if (answer === null) throw new Error(`${what}: the connection ended without an answer`)
  return answer
}

export function locationOf(answer: Answer): string {
  const { location } = answer.headers
  if (answer.status !== 201 || location === undefined) {
    throw new Error(`POST answered ${answer.status} ${answer.body.toString()}`)
  }
  return new URL(location, 'http://127.0.0.1').pathname
}

/** `Upload-Offset`. @throws Error when there is none. */
export function offsetIn(answer: Answer): number {
  const value = answer.headers['upload-offset']
  if (value === undefined || !/^\d+$/.test(value)) throw new Error(`${answer.status} with Upload-Offset: ${value}`)
  return Number(value)
}
