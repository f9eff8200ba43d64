/** What the tests of authorization share: requests to the running server, tokens, and a server of keys. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import { listen, stop } from '../node-support.ts'
import type { TestServer } from '../support/server.ts'

export const secret = 'a-secret-for-tokens-of-32-bytes!'
export const urlSecret = 'a-secret-for-signed-urls-of-32-bytes-or-more'
export const tus = { 'Tus-Resumable': '1.0.0' }
export const octets = { 'Content-Type': 'application/offset+octet-stream' }

export interface Asked {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** Sends a request, with a bearer token if there is one, and reads the whole answer. An empty header is left out. */
export async function ask(
  url: string,
  method: string,
  token: string | null,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Asked> {
  const authorization: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` }
  const all = Object.entries({ ...tus, ...authorization, ...headers }).filter(([, value]) => value !== '')
  const answer = await fetch(url, {
    method,
    headers: Object.fromEntries(all),
    ...(body !== undefined && { body }),
  })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

export function post(url: string, token: string | null, headers: Record<string, string> = {}): Promise<Asked> {
  return ask(url, 'POST', token, { 'Upload-Length': '5', ...headers })
}

export function patch(url: string, token: string | null, offset: number, body: string): Promise<Asked> {
  return ask(url, 'PATCH', token, { ...octets, 'Upload-Offset': String(offset) }, body)
}

/** Creates an upload of five bytes and returns its URL. */
export async function created(
  server: TestServer,
  token: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const { status, headers: answered, text } = await post(server.url, token, headers)
  assert.equal(status, 201, text)
  return answered.get('location') ?? assert.fail('no Location')
}

/** The status of every request that works with an upload. */
export async function statuses(url: string, token: string | null): Promise<Record<string, number>> {
  const requests: Record<string, Promise<Asked>> = {
    HEAD: ask(url, 'HEAD', token),
    'HEAD without tus': ask(url, 'HEAD', token, { 'Tus-Resumable': '' }),
    GET: ask(url, 'GET', token),
    PATCH: patch(url, token, 0, 'HELLO'),
    'PATCH by POST': ask(
      url,
      'POST',
      token,
      { ...octets, 'Upload-Offset': '0', 'X-HTTP-Method-Override': 'PATCH' },
      'HELLO',
    ),
    DELETE: ask(url, 'DELETE', token),
    'DELETE by POST': ask(url, 'POST', token, { 'X-HTTP-Method-Override': 'DELETE' }),
  }
  const answers = await Promise.all(
    Object.entries(requests).map(async ([name, answer]) => [name, (await answer).status]),
  )
  return Object.fromEntries(answers) as Record<string, number>
}

/** Asserts that each of these requests was answered so. */
export function assertAll(answers: Record<string, number>, status: number): void {
  assert.deepEqual(answers, Object.fromEntries(Object.keys(answers).map((name) => [name, status])))
}

/** Seconds since the epoch, so many from now. */
export function fromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds
}

/** A JSON Web Token as an attacker writes it: whatever header and key. */
export function forge(header: object, payload: object, key: string | Buffer = secret, hash = 'sha256'): string {
  const input = [header, payload].map((each) => Buffer.from(JSON.stringify(each)).toString('base64url')).join('.')
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`
}

/** A JSON Web Token for ten minutes, signed with the secret. */
export function token(claims: Readonly<Record<string, unknown>> = {}): string {
  return forge({ alg: 'HS256', typ: 'JWT' }, { exp: fromNow(600), ...claims })
}

export interface Issuer {
  readonly jwk: JWK
  sign(claims?: JWTPayload, header?: Record<string, unknown>): Promise<string>
}

/** Somebody who signs tokens with a key of their own. */
export async function createIssuer(kid: string, alg = 'RS256'): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' },
    sign: (claims = {}, header = {}) =>
      new SignJWT({ exp: fromNow(600), ...claims }).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  }
}

export interface KeyServer extends AsyncDisposable {
  readonly url: string
  /** Requests so far. */
  readonly requests: number
  /** What it answers from now on: keys, or a failure of some kind. */
  answer(with_: readonly JWK[] | 'error' | 'garbage' | 'nothing'): void
}

/** An HTTP server of keys (JWKS). */
export async function startKeyServer(keys: readonly JWK[]): Promise<KeyServer> {
  let answer: readonly JWK[] | 'error' | 'garbage' | 'nothing' = keys
  let requests = 0
  const server = createServer((_, response) => {
    requests++
    if (answer === 'nothing') return void response.destroy()
    if (answer === 'error') return void response.writeHead(500).end('out of order')
    response.writeHead(200, { 'Content-Type': 'application/json' })
    response.end(answer === 'garbage' ? '<html>' : JSON.stringify({ keys: answer }))
  })
  const port = await listen(server)
  return {
    url: `http://127.0.0.1:${port}/keys`,
    get requests() {
      return requests
    },
    answer(next) {
      answer = next
    },
    [Symbol.asyncDispose]: () => stop(server),
  }
}
