/** Servers that share a bucket, each with a memory of its own. */
import { createTusHandler, type TusHandler } from '../../src/index.ts'
import { blocksBucket } from './blocks-bucket.ts'
import { type SimulatedBucket, simulatedBucket, type SimulatedOptions } from './simulated-bucket.ts'
import { another, kib, smallLimits, uniformLimits } from './support.ts'

export const buckets: Record<string, (options?: SimulatedOptions) => SimulatedBucket> = {
  'parts by number': (options) => simulatedBucket({ ...options, limits: smallLimits }),
  'equal parts': (options) => simulatedBucket({ ...options, limits: uniformLimits }),
  blocks: (options) => blocksBucket({ ...options, limits: { maxPartBytes: 1024 * kib } }),
}

export const tus = { 'Tus-Resumable': '1.0.0' }

/** A server with a memory of its own; every upload is called `a`. */
export interface Replica {
  readonly handler: TusHandler
  readonly post: (length: number | null, more?: Record<string, string>) => Promise<number>
  readonly head: () => Promise<{ status: number; offset: number | null }>
  /** @param more Headers. */
  readonly patch: (offset: number, bytes: Uint8Array, more?: Record<string, string>) => Promise<Answer>
  readonly remove: () => Promise<number>
}

export interface Answer {
  readonly status: number
  /** `Upload-Offset`, or null. */
  readonly offset: number | null
}

/** An upload, for a store without a handler. */
export const planned = {
  id: 'a',
  length: 1_000_000,
  metadata: null,
  concat: null,
  attributes: {},
  createdAt: 1_700_000_000_000,
  expiresAt: null,
}

export const url = 'http://host/files/a'

export function replica(bucket: SimulatedBucket, options: Parameters<typeof another>[1] = {}): Replica {
  const store = another(bucket, options)
  const handler = createTusHandler({ path: '/files', store, generateId: () => 'a', expiration: { afterMs: 3_600_000 } })
  const send = async (method: string, headers: Record<string, string>, bytes?: Uint8Array): Promise<Answer> => {
    const content = bytes === undefined ? {} : { body: new Blob([bytes.slice()]).stream(), duplex: 'half' }
    const to = method === 'POST' ? 'http://host/files' : url
    const response = await handler(new Request(to, { method, headers: { ...tus, ...headers }, ...content }))
    const told = response.headers.get('Upload-Offset')
    return { status: response.status, offset: told === null ? null : Number(told) }
  }
  return {
    handler,
    post: async (length, more = {}) => {
      const lengths: Record<string, string> =
        length === null ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(length) }
      return (await send('POST', { ...lengths, ...more })).status
    },
    head: () => send('HEAD', {}),
    patch: (offset, bytes, more = {}) =>
      send(
        'PATCH',
        { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream', ...more },
        bytes,
      ),
    remove: async () => (await send('DELETE', {})).status,
  }
}

/** What `count` chunks cost each. */
export function callsOf(bucket: SimulatedBucket): Record<string, number> {
  const calls = Object.fromEntries(bucket.calls)
  bucket.calls.clear()
  return calls
}
