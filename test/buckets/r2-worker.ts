/** What runs inside workerd: the cases over an R2 binding, one per request, and a tus handler on it. */
import { fromStream } from '../../src/body/receive.ts'
import { r2Bucket } from '../../src/buckets/r2.ts'
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import { createTusHandler, StoreError, type TusHandler } from '../../src/index.ts'
import type { Bucket, Multipart } from '../../src/objects/bucket.ts'
import { r2Store } from '../../src/stores/r2.ts'
import { within } from '../suites/support.ts'
import type { BucketContext } from './suite-support.ts'

interface Env {
  readonly BUCKET: Binding
}

/** More of it than the driver uses. */
interface Binding extends R2Binding {
  head(key: string): Promise<{
    readonly size: number
    readonly etag: string
    readonly httpMetadata?: { readonly contentType?: string; readonly contentDisposition?: string }
  } | null>
}

let handler: TusHandler | undefined

export default {
  async fetch(request: Request, { BUCKET }: Env, ctx: { waitUntil(promise: Promise<unknown>): void }) {
    const { pathname } = new URL(request.url)
    if (pathname === '/cases') {
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
      ctx.waitUntil(runCases(BUCKET, writable.getWriter()))
      return new Response(readable)
    }
    handler ??= createTusHandler({
      path: '/files',
      store: r2Store({ bucket: BUCKET, prefix: 'uploads/' }),
      downloads: true,
      onError: (error) => void errors.push(describe(error)),
    })
    if (pathname === '/errors') return Response.json(errors.splice(0))
    if (pathname === '/stored') return Response.json(await stored(BUCKET))
    if (pathname === '/taken') return Response.json(taken)
    const response = handler(request, request.body === null ? undefined : { body: counted(request.body) })
    // What a client sent before it went away is still to be stored.
    ctx.waitUntil(response)
    return response
  },
}

const errors: string[] = []
/** Bytes that have come of the latest body. */
let taken = 0

/** As the handler reads a body itself, with a count. A generator would go on in the request that ends it early. */
function counted(body: ReadableStream<Uint8Array>): AsyncIterable<Uint8Array> {
  taken = 0
  const iterator = fromStream(body)[Symbol.asyncIterator]()
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    const result = await iterator.next()
    if (result.done !== true) taken += result.value.byteLength
    return result
  }
  return { [Symbol.asyncIterator]: () => ({ ...iterator, next }) }
}

// A case of the suite sends a view as Node makes them.
Object.assign(globalThis, {
  Buffer: { from: (buffer: ArrayBuffer, offset: number, length: number) => new Uint8Array(buffer, offset, length) },
})

/** Keys and content types of all that the handler has stored. */
async function stored(bucket: Binding): Promise<(readonly [string, string | null])[]> {
  const { objects } = await bucket.list({ prefix: 'uploads/' })
  return Promise.all(
    objects.map(async ({ key }) => [key, (await bucket.head(key))?.httpMetadata?.contentType ?? null] as const),
  )
}

/** Writes a line for each: its title and what went wrong. All in one request, because signals belong to one. */
async function runCases(binding: Binding, writer: WritableStreamDefaultWriter<Uint8Array>): Promise<void> {
  const [{ bucketCases }, { r2Cases }] = await Promise.all([import('./suite.ts'), import('./r2-cases.ts')])
  for (const { title, run } of [...bucketCases, ...r2Cases]) {
    const failure = await within(run(contextOn(binding)), title, 30_000).then(() => null, describe)
    await writer.write(new TextEncoder().encode(`${JSON.stringify([title, failure])}\n`))
  }
  await writer.close()
}

function contextOn(binding: Binding): BucketContext {
  const prefix = `${crypto.randomUUID()}/`
  const begun: Begun[] = []
  const open = (suffix: string): Bucket =>
    remembering(r2Bucket({ bucket: binding, prefix: prefix + suffix }), suffix, begun)
  return {
    bucket: open(''),
    open,
    served: async (key) => (await binding.head(prefix + key))?.httpMetadata ?? {},
  }
}

type Begun = Multipart & { readonly createdAt: number }

/** The cases look at the multiparts that are open; the binding cannot tell, so this remembers those begun here. */
function remembering(bucket: Bucket, suffix: string, begun: Begun[]): Bucket {
  const forget = ({ multipartId }: Multipart): void => {
    const at = begun.findIndex((one) => one.multipartId === multipartId)
    if (at >= 0) begun.splice(at, 1)
  }
  return {
    ...bucket,
    async createMultipart(key, headers, options) {
      const multipartId = await bucket.createMultipart(key, headers, options)
      begun.push({ key: suffix + key, multipartId, createdAt: Date.now() })
      return multipartId
    },
    async complete(multipart, parts, headers, options) {
      const outcome = await bucket.complete(multipart, parts, headers, options)
      if (outcome === 'completed') forget(multipart)
      return outcome
    },
    async abort(multipart, options) {
      await bucket.abort(multipart, options)
      forget(multipart)
    },
    async *multiparts(prefix, options) {
      yield* bucket.multiparts(prefix, options)
      for (const one of begun) {
        if (one.key.startsWith(suffix + prefix)) yield { ...one, key: one.key.slice(suffix.length) }
      }
    },
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof StoreError ? ` ${error.code}` : ''
  const cause = error.cause === undefined ? '' : `\ncaused by ${describe(error.cause)}`
  return `${error.name}${code}: ${error.message}\n${error.stack ?? ''}${cause}`
}
