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
      const { status } = response
      if (status < 200 || status > 299) {
        await response.body?.cancel()
        throw new HookError(`it answered ${status}`, { transient: isTransient(status), gone: status === 410 })
      }
      if (!hasAnswer(message)) {
        await response.body?.cancel()
        return ''
      }
      return readAnswer(response)
    },
  }
}

/** Sends it, also to where the receiver sends us with the same method and body. */
async function post(
  address: string,
  message: Message,
  secrets: readonly Secret[],
  signal: AbortSignal,
): Promise<Response> {
  let url = new URL(address)
  let { headers } = message
  for (let hops = 0; ; hops++) {
    const response = await postOnce(url, { ...message, headers }, secrets, signal)
    const next = hops < mostHops ? redirectOf(response, url) : null
    if (next === null) return response
    await response.body?.cancel()
    // What is meant for one server is not for another one.
    if (next.origin !== url.origin) headers = withoutCredentials(headers)
    url = next
  }
}

/** As many as Go's client follows. */
const mostHops = 10

/**
 * Where to go instead; null for nowhere. The other redirects ask for a GET, which would tell nobody of the event, and
 * what was encrypted stays so. Nor where an address has a password in it, which `fetch` refuses with the password in its
 * message.
 */
function redirectOf({ status, headers }: Response, from: URL): URL | null {
  if (status !== 307 && status !== 308) return null
  const next = URL.parse(headers.get('location') ?? 'none:', from)
  if (next === null || next.username !== '' || next.password !== '') return null
  return next.protocol === 'https:' || next.protocol === from.protocol ? next : null
}

function withoutCredentials(headers: Message['headers']): Message['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isCredential(name)))
}

async function postOnce(url: URL, message: Message, secrets: readonly Secret[], signal: AbortSignal) {
  try {
    return await fetch(url, {
      method: 'POST',
      headers: {
        ...message.headers,
        'Content-Type': 'application/json',
        'User-Agent': 'fileloft',
        ...signatureHeaders(secrets, message.eventId, message.body),
      },
      body: message.body,
      redirect: 'manual',
      signal,
    })
  } catch (error) {
    throw unreachable(error, signal)
  }
}

/** What the receiver says to anything else is of no consequence, so neither is how. */
function hasAnswer({ type }: Message): boolean {
  return type.startsWith('pre-') || type === 'post-receive'
}

function isTransient(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429
}

async function readAnswer(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.byteLength
      if (size > maxAnswerBytes) break
      chunks.push(chunk)
    }
  } catch (error) {
    throw new HookError(`its answer broke off: ${reasonOf(error)}`, { transient: true, cause: error })
  }
  if (size > maxAnswerBytes) throw new HookError(`its answer has more than ${maxAnswerBytes} bytes`)
  const type = response.headers.get('content-type')
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
