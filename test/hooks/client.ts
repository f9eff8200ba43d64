/** What a client sends, in one call each. */
export const tus = { 'Tus-Resumable': '1.0.0' }
export const octets = { 'Content-Type': 'application/offset+octet-stream' }
export const all = 'pre-create,post-create,post-receive,pre-finish,post-finish,pre-terminate,post-terminate'

export function post(url: string, headers: Record<string, string>, body?: string): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { ...tus, ...headers }, ...(body !== undefined && { body }) })
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
    body,
  })
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
