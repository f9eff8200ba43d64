import assert from 'node:assert/strict'
import { createTusHandler, type Store } from '../src/index.ts'
import { memoryStore } from '../src/stores/memory.ts'
import type { ServeOptions } from './suites/support.ts'

const origin = 'http://uploads.test'
export const octets = 'application/offset+octet-stream'

interface Send {
  readonly headers?: Record<string, string>
  readonly body?: string | ReadableStream<Uint8Array>
}

/** A handler on a memory store, and what clients do with it. */
export function serve<C = unknown>(options: ServeOptions<C> = {}) {
  const store = options.store ?? memoryStore()
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const handler = createTusHandler({ path: '/files', store, onError, ...options })
  const send = (method: string, url: string, { headers = {}, body }: Send = {}) =>
    handler(
      new Request(new URL(url, origin), {
        method,
        headers: { 'Tus-Resumable': '1.0.0', ...headers },
        ...(body !== undefined && { body, duplex: 'half' }),
      }),
    )
  const create = async (headers: Record<string, string>) => {
    const response = await send('POST', '/files', { headers })
    assert.equal(response.status, 201, await response.text())
    return response.headers.get('location') ?? ''
  }
  const patch = (url: string, offset: number, body: Send['body'] = '') =>
    send('PATCH', url, { headers: { 'Upload-Offset': String(offset), 'Content-Type': octets }, body })
  const partial = async (text: string) => {
    const url = await create({ 'Upload-Concat': 'partial', 'Upload-Length': String(text.length) })
    assert.equal((await patch(url, 0, text)).status, 204)
    return url
  }
  const final = (...urls: string[]) =>
    send('POST', '/files', { headers: { 'Upload-Concat': `final;${urls.join(' ')}` } })
  return { handler, store, errors, send, create, patch, partial, final }
}

export async function incompleteIds(store: Store): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of store.incomplete()) ids.push(id)
  return ids
}
