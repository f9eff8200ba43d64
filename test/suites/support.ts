/**
 * What every suite is written against: a context that serves a handler, whatever the runtime and the transport, and
 * a few assertions over `Response` whose messages show what was got.
 */
import type { Store, TusHandler, TusHandlerOptions } from '../../src/index.ts'

/** Bytes that a `Request` takes as they are. */
export type Bytes = Uint8Array<ArrayBuffer>

/** A topic and its cases. */
export interface Suite {
  readonly name: string
  readonly cases: readonly Case[]
}

export interface Case {
  /** Request, condition, outcome. */
  readonly title: string
  readonly run: (ctx: Context) => Promise<void>
}

/** What this run can do, so that a case asserts the clear refusal where it cannot. */
export interface Capabilities {
  /** `Init.trailers` reach the handler. */
  readonly trailers: boolean
  /** A streamed answer keeps its `Content-Length`; else it may lose it and come in chunks. */
  readonly answerLength: boolean
}

/** One case's own world. All that was made through it is closed after the case. */
export interface Context {
  readonly capabilities: Capabilities
  /** A fresh store, for wrapping. */
  store(): Promise<Store>
  /** A handler with its defaults, on a fresh store unless `options.store` names one, mounted at `/files`. */
  serve(options?: ServeOptions): Promise<Server>
}

export type ServeOptions<C = unknown> = Partial<Omit<TusHandlerOptions<C>, 'store'>> & { readonly store?: Store }

export interface Server {
  /** Address of the mount without trailing slash. */
  readonly url: string
  readonly origin: string
  readonly handler: TusHandler
  readonly store: Store
  /** `target` is an address or a path. Rejects where `fetch` would. */
  fetch(target: string, init?: Init): Promise<Response>
  /** As `fetch`, but the path goes over the wire as it stands, dot segments included, where there is a wire. */
  fetchRaw(path: string, init?: Init): Promise<Response>
  /**
   * Bytes of streamed bodies that the handler has taken so far: of this one where a transport can tell them apart, else
   * over all requests.
   */
  taken(body?: ReadableStream<Uint8Array>): number
}

export interface Init {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Bytes | ReadableStream<Uint8Array>
  /** Sent after a streamed body; needs `capabilities.trailers`. */
  readonly trailers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
}

export function fail(message: string): never {
  throw new AssertionFailure(message)
}

/** Strict equality; `what` names the thing that was looked at. */
export function equal<T>(got: T, wanted: T, what: string): void {
  if (!Object.is(got, wanted)) fail(`${what}: got ${show(got)}, wanted ${show(wanted)}`)
}

export function ok(condition: boolean, what: string): asserts condition {
  if (!condition) fail(what)
}

export function equalBytes(got: Uint8Array, wanted: Uint8Array, what: string): void {
  const at = got.findIndex((byte, i) => byte !== wanted[i])
  if (at !== -1) fail(`${what}: differs at byte ${at} of ${got.length} (wanted ${wanted.length} bytes)`)
  equal(got.length, wanted.length, `${what}: length`)
}

/** `null` = the header is absent; a regular expression must match. */
export type WantedHeaders = Readonly<Record<string, string | RegExp | null>>

/** Asserts the status (one of several, if several are right) and the headers named, and hands the response on. */
export async function expect(
  response: Response,
  status: number | readonly number[],
  headers: WantedHeaders = {},
): Promise<Response> {
  const wanted = typeof status === 'number' ? [status] : status
  if (!wanted.includes(response.status)) {
    fail(`${await describe(response)}, wanted ${wanted.join(' or ')}`)
  }
  for (const [name, value] of Object.entries(headers)) {
    const got = response.headers.get(name)
    const right = value instanceof RegExp ? got !== null && value.test(got) : got === value
    if (!right) fail(`${await describe(response)} with ${name}: ${show(got)}, wanted ${show(value)}`)
  }
  return response
}

/** Asserts `Content-Length` of a streamed answer, which some runtimes leave out. */
export function expectLength({ capabilities }: Context, { headers }: Response, length: number): void {
  const got = headers.get('Content-Length')
  if (got !== null || capabilities.answerLength) equal(got, String(length), 'Content-Length')
}

/** As `expect`, for a refusal whose one-line text says something particular. */
export async function expectRefusal(response: Response, status: number, text: RegExp): Promise<void> {
  await expect(response, status, { 'Content-Type': /^text\/plain/ })
  const body = await response.text()
  ok(text.test(body), `answered ${status} with the text ${show(body)}, wanted ${text}`)
}

/** The statuses of answers that came in any order, lowest first. */
export function statusesOf(answers: readonly Response[]): string {
  const statuses = answers.map((answer) => answer.status)
  return statuses.toSorted((a, b) => a - b).join()
}

/** Waits until `condition` holds, looking every few milliseconds. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 8000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > deadline) fail(`waited ${ms} ms for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 4))
  }
}

/** The value, unless it takes longer than a client would wait. */
export async function within<T>(promise: Promise<T>, what: string, ms = 5000): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new AssertionFailure(`not within ${ms} ms: ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const descriptions = new WeakMap<Response, string>()

/**
 * What holds for every answer, whatever the case looks at; runners pass each response through here.
 */
export function observe(response: Response, method: string, target: string, overridden?: string): Response {
  const what = `${method} ${target} answered ${response.status}`
  descriptions.set(response, `${method} ${target}`)
  const { status, headers } = response
  // Headers, Tus-Resumable: "MUST be included in every request and response except for OPTIONS requests".
  equal(headers.get('Tus-Resumable'), '1.0.0', `${what}: Tus-Resumable`)
  equal(headers.get('X-Content-Type-Options'), 'nosniff', `${what}: X-Content-Type-Options`)
  const download = (method === 'GET' || method === 'HEAD' || overridden === 'GET') && [200, 206, 304].includes(status)
  if (!download) equal(headers.get('Cache-Control'), 'no-store', `${what}: Cache-Control`)
  if (status === 404 || status === 410) equal(headers.get('Upload-Offset'), null, `${what}: Upload-Offset`)
  if (status >= 400) {
    equal(headers.get('Upload-Length'), null, `${what}: Upload-Length`)
    if (response.body !== null)
      ok(headers.get('Content-Type')?.startsWith('text/plain') === true, `${what}: not text/plain`)
  }
  if (status === 405) ok(headers.get('Allow') !== null, `${what} without Allow`)
  return response
}

async function describe(response: Response): Promise<string> {
  const request = descriptions.get(response) ?? 'the request'
  const text = response.bodyUsed ? '(body read)' : show(await response.text())
  return `${request} answered ${response.status} ${text}`
}

/** A short, readable form for messages. */
export function show(value: unknown): string {
  const text = value instanceof RegExp ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}
