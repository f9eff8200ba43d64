import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { HookError, reasonOf } from './failure.ts'
import { isCredential } from './message.ts'
import { type Secret, signatureHeaders } from './signature.ts'
import { maxAnswerBytes, type Message, type Transport } from './transport.ts'

/** A POST for each event. */
export function httpTransport(url: string, secrets: readonly Secret[]): Transport {
  // A query may hold a secret.
  const name = url.replace(/\?.*$/, '')
  return {
    name,
    handles: () => true,
    async send(message, signal) {
      const response = await post(url, message, secrets, signal)
      const { statusCode: status = 0 } = response
      if (status < 200 || status > 299) {
        passOver(response)
        throw new HookError(`it answered ${status}`, { transient: isTransient(status), gone: status === 410 })
      }
      if (hasAnswer(message)) return readAnswer(response)
      passOver(response)
      return ''
    },
  }
}

/** Sends it, also to where the receiver sends us with the same method and body. */
async function post(
  address: string,
  message: Message,
  secrets: readonly Secret[],
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let url = new URL(address)
  let { headers } = message
  for (let hops = 0; ; hops++) {
    const response = await postOnce(url, { ...message, headers }, secrets, signal)
    const next = hops < mostHops ? redirectOf(response, url) : null
    if (next === null) return response
    passOver(response)
    // What is meant for one server is not for another one.
    if (next.origin !== url.origin) headers = withoutCredentials(headers)
    url = next
  }
}

/** As many as Go's client follows. */
const mostHops = 10

/**
 * Where to go instead; null for nowhere. The other redirects ask for a GET, which would tell nobody of the event, and
 * what was encrypted stays so. Nor to an address with a password in it, which would be sent as our own.
 */
function redirectOf({ statusCode, headers }: IncomingMessage, from: URL): URL | null {
  if (statusCode !== 307 && statusCode !== 308) return null
  const next = URL.parse(headers.location ?? 'none:', from)
  if (next === null || next.username !== '' || next.password !== '') return null
  return next.protocol === 'https:' || next.protocol === from.protocol ? next : null
}

function withoutCredentials(headers: Message['headers']): Message['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isCredential(name)))
}

/** Not by `fetch`, which makes two streams for each request and costs twice as much. */
function postOnce(
  url: URL,
  message: Message,
  secrets: readonly Secret[],
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? https : http).request(url, {
    method: 'POST',
    headers: {
      ...message.headers,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(message.body),
      'User-Agent': 'fileloft',
      ...signatureHeaders(secrets, message.eventId, message.body),
    },
  })
  // Node's own way to heed a signal takes longer.
  const end = () => request.destroy()
  signal.addEventListener('abort', end)
  request.on('close', () => {
    signal.removeEventListener('abort', end)
    reject(new HookError('it ended the connection without an answer', { transient: true }))
  })
  let isAnswered = false
  request.on('response', (response) => {
    isAnswered = true
    resolve(response)
  })
  // Without this, Node cuts the connection and tells nobody.
  request.on('upgrade', (response, socket) => {
    socket.destroy()
    resolve(response)
  })
  request.on('error', (error: NodeJS.ErrnoException) => {
    // What breaks an answer off is told to whoever reads it.
    if (isAnswered) return
    // The receiver has closed a connection that nobody used, at this very moment: at once on another one.
    const isStale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    if (isStale && !signal.aborted) resolve(postOnce(url, message, secrets, signal))
    else reject(unreachable(error, signal))
  })
  // As bytes: of a text Node makes one with the headers, and writes the bytes above 127 in those as UTF-8.
  request.end(Buffer.from(message.body))
  if (signal.aborted) end()
  return promise
}

/** How long an answer may take that nobody waits for. */
const passOverMs = 5_000

/** Lets the connection be used again, unless its answer is too long for that. */
function passOver(response: IncomingMessage): void {
  let size = 0
  response.on('error', () => {})
  // The time that the request had was for its answer to begin.
  if (!response.complete) {
    const timer = setTimeout(() => response.destroy(), passOverMs).unref()
    response.on('close', () => clearTimeout(timer))
  }
  response.on('data', (chunk: Uint8Array) => {
    size += chunk.byteLength
    if (size > maxAnswerBytes) response.destroy()
  })
}

/** What the receiver says to anything else is of no consequence, so neither is how. */
function hasAnswer({ type }: Message): boolean {
  return type.startsWith('pre-') || type === 'post-receive'
}

function isTransient(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  await new Promise<void>((resolve, reject) => {
    // Iterating over it would take as long as all else.
    response.on('data', (chunk: Uint8Array) => {
      size += chunk.byteLength
      if (size <= maxAnswerBytes) return void chunks.push(chunk)
      reject(new HookError(`its answer has more than ${maxAnswerBytes} bytes`))
      response.destroy()
    })
    response.on('end', resolve)
    response.on('error', (error) =>
      reject(new HookError(`its answer broke off: ${reasonOf(error)}`, { transient: true, cause: error })),
    )
  })
  const type = response.headers['content-type']
  if (size > 0 && !/^application\/json\s*(;|$)/i.test(type ?? '')) {
    throw new HookError(`it answered with Content-Type ${type ?? 'missing'} instead of application/json`)
  }
  return Buffer.concat(chunks).toString()
}

function unreachable(error: unknown, signal: AbortSignal): HookError {
  if (signal.aborted) return new HookError(reasonOf(signal.reason), { transient: true, cause: error })
  const cause = error instanceof Error ? (error.cause ?? error) : error
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const reason = [code, reasonOf(cause)].filter((part) => part !== '').join(': ')
  return new HookError(`it cannot be reached: ${reason}`, { transient: true, cause: error })
}
