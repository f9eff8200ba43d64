/** What a client sends, in one call each. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'

export const tus = { 'Tus-Resumable': '1.0.0' }
export const octets = { 'Content-Type': 'application/offset+octet-stream' }
export const all = 'pre-create,post-create,post-receive,pre-finish,post-finish,pre-terminate,post-terminate'

export function post(url: string, headers: Record<string, string>, body?: string): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { ...tus, ...headers },
    redirect: 'manual',
    ...(body !== undefined && { body }),
  })
}

export function patch(
  location: string,
  offset: number,
  body: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(location, {
    method: 'PATCH',
    headers: { ...tus, ...octets, 'Upload-Offset': String(offset), ...headers },
    redirect: 'manual',
    body,
  })
}

/** A PATCH that is on its way for as long as it takes. */
export interface Trickle extends Disposable {
  readonly answer: Promise<Response>
  /** Sends all that is left. */
  finish(): void
}

/**
 * A client that sends a little, and a little more: from the beginning of an upload of this length to its end.
 * @param more Headers of a POST that creates it; without them it is a PATCH.
 */
export function trickle(location: string, length: number, more?: Record<string, string>): Trickle {
  const size = String(length)
  const own: Record<string, string> = more === undefined ? { 'Upload-Offset': '0' } : { 'Upload-Length': size, ...more }
  const headers = { ...tus, ...octets, ...own, 'Content-Length': size }
  const sending = request(location, { method: more === undefined ? 'PATCH' : 'POST', headers })
  let sent = 0
  const send = (count: number) => {
    sending.write('x'.repeat(Math.min(count, length - sent)))
    sent = Math.min(sent + count, length)
  }
  send(1)
  // Never the last one by itself.
  const timer = setInterval(() => sent < length - 1 && send(1), 20)
  const answer = once(sending, 'response').then(async ([value]) => {
    const response = value as IncomingMessage
    clearInterval(timer)
    // A server that wants no more need not read what is still on its way.
    sending.on('error', () => undefined)
    let body = ''
    for await (const chunk of response) body += String(chunk)
    const { statusCode = 0, headers: told } = response
    return new Response(statusCode === 204 ? null : body, { status: statusCode, headers: told as HeadersInit })
  })
  answer.catch(() => undefined)
  return {
    answer,
    finish() {
      clearInterval(timer)
      send(length)
      sending.end()
    },
    [Symbol.dispose]() {
      clearInterval(timer)
      sending.destroy()
    },
  }
}

export function head(location: string): Promise<Response> {
  return fetch(location, { method: 'HEAD', headers: tus })
}

export function remove(location: string): Promise<Response> {
  return fetch(location, { method: 'DELETE', headers: tus })
}

/** Creates an upload and returns its URL. */
export async function create(url: string, length: number, headers: Record<string, string> = {}): Promise<string> {
  const answer = await post(url, { 'Upload-Length': String(length), ...headers })
  const text = await answer.text()
  if (answer.status !== 201) throw new Error(`POST answered ${answer.status} ${text}`)
  return answer.headers.get('location') ?? ''
}

/** A whole upload in one POST; its URL. */
export async function upload(url: string, body: string, headers: Record<string, string> = {}): Promise<string> {
  const answer = await post(url, { ...octets, 'Upload-Length': String(body.length), ...headers }, body)
  const text = await answer.text()
  if (answer.status !== 201) throw new Error(`POST answered ${answer.status} ${text}`)
  return answer.headers.get('location') ?? ''
}

export function idOf(location: string): string {
  return new URL(location).pathname.split('/').slice(2).join('/')
}

export function metadata(pairs: Record<string, string>): string {
  return Object.entries(pairs)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',')
}
