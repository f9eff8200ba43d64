/**
 * A client of HTTP/1.1 over any byte connection: each request on a connection of its own, with trailers, paths as they
 * stand and bodies that break. A runtime's own `fetch` is not what is tested here, and each has its own ways of sending
 * a body.
 */
import type { Init } from '../suites/support.ts'
import { readBody, readHead } from './client-response.ts'
import { concat, type Dial, type Wire } from './wire.ts'

const encoder = new TextEncoder()

/** `path` goes over the wire as it stands. Rejects where `fetch` would. */
export async function exchange(dial: Dial, port: number, path: string, init: Init, open: Set<Wire>): Promise<Response> {
  const { method = 'GET', signal } = init
  signal?.throwIfAborted()
  const head = requestHead(port, method, path, init)
  const wire = await dial(port)
  open.add(wire)
  const finish = (): void => {
    open.delete(wire)
    wire.destroy()
  }
  const sending = new AbortController()
  // The body is pulled no further once the answer is complete or the client has gone.
  const stop = (reason: unknown): void => {
    sending.abort(reason)
    finish()
  }
  const aborted = new Promise<never>((_, reject) => {
    signal?.addEventListener('abort', () => {
      stop(signal.reason)
      reject(signal.reason as Error)
    })
  })
  aborted.catch(() => {})
  // A body that breaks breaks the request; a connection that does so is seen by who reads the answer.
  const broken = send(wire, head, init, sending.signal).then(
    () => new Promise<never>(() => {}),
    (error: unknown) => {
      if (!(error instanceof BodyError)) return new Promise<never>(() => {})
      finish()
      throw error.cause
    },
  )
  broken.catch(() => {})
  try {
    const answer = await Promise.race([readHead(wire), aborted, broken])
    const { status, headers, rest } = answer
    const bodiless = method === 'HEAD' || [204, 205, 304].includes(status)
    if (bodiless) stop(new Error('the answer is complete'))
    const body = bodiless ? null : readBody(wire, headers, rest, { aborted, stop })
    return new Response(body, { status, headers })
  } catch (error) {
    stop(error)
    throw error
  }
}

class BodyError extends Error {
  override readonly name = 'BodyError'
}

function requestHead(port: number, method: string, path: string, { headers = {}, body, trailers }: Init): Uint8Array {
  const all = new Headers(headers)
  if (!all.has('Host')) all.set('Host', `127.0.0.1:${port}`)
  if (trailers !== undefined) all.set('Trailer', all.get('Trailer') ?? Object.keys(trailers).join(', '))
  if (body instanceof Uint8Array) all.set('Content-Length', String(body.length))
  else if (body !== undefined) {
    if (!all.has('Content-Length')) all.set('Transfer-Encoding', 'chunked')
  } else if (method !== 'GET' && method !== 'HEAD') all.set('Content-Length', '0')
  const lines = [...all].map(([name, value]) => `${name}: ${value}\r\n`)
  const text = `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
  // Header values are bytes: what is above Latin-1 was refused by `Headers`.
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

async function send(wire: Wire, head: Uint8Array, init: Init, signal: AbortSignal): Promise<void> {
  const { body, trailers, headers = {} } = init
  if (body instanceof Uint8Array) return wire.write(concat([head, body]))
  await wire.write(head)
  if (body === undefined) return
  const chunked = !new Headers(headers).has('Content-Length')
  const reader = body.getReader()
  signal.addEventListener('abort', () => void reader.cancel(signal.reason).catch(() => {}))
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      throw new BodyError('the body broke', { cause })
    })
    if (signal.aborted) return
    if (done) break
    if (value.length === 0) continue
    await wire.write(chunked ? concat([encoder.encode(`${value.length.toString(16)}\r\n`), value, crlf]) : value)
  }
  if (!chunked) return
  const lines = Object.entries(trailers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`)
  await wire.write(encoder.encode(`0\r\n${lines.join('')}\r\n`))
}

const crlf = encoder.encode('\r\n')
