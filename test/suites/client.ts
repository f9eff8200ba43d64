/** Requests as a tus client makes them, and a look at what the store holds. */
import type { Store, Upload } from '../../src/index.ts'
import { concat, controlled, type Controlled } from './bodies.ts'
import {
  equal,
  equalBytes,
  expect,
  fail,
  ok,
  until,
  type Bytes,
  type Init,
  type Server,
  type WantedHeaders,
} from './support.ts'

export type Headers = Readonly<Record<string, string>>

export const octets = 'application/offset+octet-stream'

/** A request with `Tus-Resumable`. An empty string among `headers` goes out empty; leave a name out to omit it. */
export async function tus(
  server: Server,
  method: string,
  target: string,
  headers: Headers = {},
  rest: Omit<Init, 'method' | 'headers'> = {},
): Promise<Response> {
  return await server.fetch(target, { ...rest, method, headers: { 'Tus-Resumable': '1.0.0', ...headers } })
}

/** POST to the collection. */
export async function post(server: Server, headers: Headers, body?: Init['body']): Promise<Response> {
  return await tus(server, 'POST', server.url, headers, body === undefined ? {} : { body })
}

/** The largest length that the server's store takes. */
export function longest(server: Server): number {
  return server.store.maxLength ?? Number.MAX_SAFE_INTEGER
}

/** Creates an upload and tells its address, on this server whatever `Location` says of scheme and host. */
export async function create(server: Server, length: number | 'deferred', headers: Headers = {}): Promise<string> {
  const size: Headers = length === 'deferred' ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(length) }
  return await locationOf(server, await post(server, { ...size, ...headers }))
}

/** Creates an upload that already holds `bytes` (by creation, then PATCH). */
export async function createWith(
  server: Server,
  bytes: Bytes,
  headers: Headers = {},
  length = bytes.length,
): Promise<string> {
  const url = await create(server, length, headers)
  if (bytes.length > 0) await expect(await patch(server, url, 0, bytes), 204, { 'Upload-Offset': String(bytes.length) })
  return url
}

/** The address in a 201's `Location`. */
export async function locationOf(server: Server, response: Response): Promise<string> {
  await expect(response, 201)
  const location = response.headers.get('Location') ?? fail('201 without Location')
  return server.origin + new URL(location, server.url).pathname
}

/** PATCH with everything right, unless `headers` say otherwise. */
export async function patch(
  server: Server,
  url: string,
  offset: number,
  body: Init['body'] = new Uint8Array(0),
  headers: Headers = {},
  rest: Omit<Init, 'method' | 'headers' | 'body'> = {},
): Promise<Response> {
  const all = { 'Content-Type': octets, 'Upload-Offset': String(offset), ...headers }
  return await tus(server, 'PATCH', url, all, { ...rest, body })
}

export async function head(server: Server, url: string, headers: Headers = {}): Promise<Response> {
  return await tus(server, 'HEAD', url, headers)
}

/** HEAD answers 200 with this offset. */
export async function expectOffset(
  server: Server,
  url: string,
  offset: number,
  headers: WantedHeaders = {},
): Promise<Response> {
  return await expect(await head(server, url), 200, { 'Upload-Offset': String(offset), ...headers })
}

/** The offset that HEAD tells. */
export async function offsetOf(server: Server, url: string): Promise<number> {
  const response = await expect(await head(server, url), 200, { 'Upload-Offset': /^\d+$/ })
  return Number(response.headers.get('Upload-Offset'))
}

/** The id in an upload's address. */
export function idOf(server: Server, url: string): string {
  ok(url.startsWith(`${server.url}/`), `${url} is not below ${server.url}`)
  return url
    .slice(server.url.length + 1)
    .split('/')
    .map(decodeURIComponent)
    .join('/')
}

/** The record in the store. */
export async function recordOf(server: Server, url: string): Promise<Upload> {
  return (await server.store.get(idOf(server, url))) ?? fail(`the store does not know ${url}`)
}

/** Puts the end of the upload's time into the past: nobody has to wait for it, and no clock can spoil the case. */
export async function expire(server: Server, url: string): Promise<void> {
  await server.store.update(await recordOf(server, url), { expiresAt: Date.now() - 60_000 })
}

/** The store holds exactly these bytes for the upload, and its record counts them. */
export async function expectBytes(server: Server, url: string, bytes: Uint8Array): Promise<void> {
  const record = await recordOf(server, url)
  equal(record.offset, bytes.length, `offset in the record of ${url}`)
  if (bytes.length > 0) equalBytes(await stored(server.store, record), bytes, `stored bytes of ${url}`)
}

/** All bytes that a record counts. */
export async function stored(store: Store, record: Upload): Promise<Uint8Array> {
  const body = store.read?.(record, { start: 0, end: record.offset }) ?? fail('the store cannot read')
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part.slice())
  return concat(parts)
}

/** Everything the store lists as not completed. */
export async function incomplete(store: Store): Promise<Upload[]> {
  const found: Upload[] = []
  for await (const upload of store.incomplete()) found.push(upload)
  return found
}

/** A PATCH whose body stands still after `bytes`, all of which the handler has taken. */
export async function stalled(
  server: Server,
  url: string,
  offset: number,
  bytes: Bytes,
  headers: Headers = {},
): Promise<Controlled & { readonly response: Promise<Response> }> {
  return await held(server, bytes, async (body) => await patch(server, url, offset, body, headers))
}

/** Any request of yours around a body that stands still after `bytes`. */
export async function held(
  server: Server,
  bytes: Bytes,
  send: (body: ReadableStream<Uint8Array>) => Promise<Response>,
): Promise<Controlled & { readonly response: Promise<Response> }> {
  const body = controlled(bytes)
  const before = server.taken(body.stream)
  let answered = false
  const response = send(body.stream).finally(() => (answered = true))
  // The case may look at the answer much later, or never.
  response.catch(() => undefined)
  await until(() => answered || server.taken(body.stream) >= before + bytes.length, 'the handler takes the body')
  if (answered) await expect(await response, [], {})
  return { ...body, response }
}

/** A PATCH whose connection breaks after `bytes` have arrived. */
export async function cut(
  server: Server,
  url: string,
  offset: number,
  bytes: Bytes,
  headers: Headers = {},
): Promise<void> {
  const request = await stalled(server, url, offset, bytes, headers)
  request.fail()
  // In process something is answered, though nobody would see it; over sockets `fetch` rejects. Bytes up to the very
  // end of the upload make it a success.
  const answer = await request.response.catch(() => null)
  if (answer !== null && answer.status < 400) {
    await expect(answer, 204, { 'Upload-Offset': String(offset + bytes.length) })
  }
}
