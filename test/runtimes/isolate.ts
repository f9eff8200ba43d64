/**
 * A Worker that tells how much of the bodies it has taken (`/taken`), has a lock as long as it lives (`/hold`), and lets
 * others to its locks (`/lock`).
 */
import { fromStream } from '../../src/body/receive.ts'
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import { createTusHandler, type TusHandler } from '../../src/index.ts'
import { durableObjectLocker, type LockAnswer, type LockNamespace } from '../../src/lockers/durable-object.ts'
import { r2Store } from '../../src/stores/r2.ts'

export { UploadLock } from '../../src/lockers/durable-object.ts'

interface Env {
  readonly BUCKET: R2Binding
  readonly LOCKS: LockNamespace
}

let handler: TusHandler | undefined
let taken = 0

export default {
  async fetch(request: Request, env: Env, ctx: { waitUntil(work: Promise<unknown>): void }): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/taken') return new Response(String(taken))
    if (pathname === '/lock') return forward(request, env.LOCKS)
    if (pathname === '/hold') {
      const locker = durableObjectLocker(locksAt(searchParams.get('at') ?? ''))
      await locker.acquire(searchParams.get('id') ?? '', { signal: new AbortController().signal })
      await new Promise(() => setInterval(() => {}, 1000))
    }
    handler ??= createTusHandler({
      path: '/files',
      store: r2Store({ bucket: env.BUCKET }),
      locker: durableObjectLocker(env.LOCKS),
    })
    return handler(request, { body: counted(request.body), waitUntil: (work) => ctx.waitUntil(work) })
  },
}

/** The locks of a Worker in another process. */
function locksAt(origin: string): LockNamespace {
  const send = globalThis.fetch as unknown as (url: string, init: object) => Promise<LockAnswer>
  return {
    idFromName: (name) => name,
    get: (id) => ({
      fetch: (to, init) => send(`${origin}/lock?${new URLSearchParams({ id: String(id), to }).toString()}`, init),
    }),
  }
}

function forward(request: Request, locks: LockNamespace): Promise<Response> {
  const { searchParams } = new URL(request.url)
  const lock = locks.get(locks.idFromName(searchParams.get('id') ?? ''))
  const headers = Object.fromEntries(request.headers)
  return lock.fetch(searchParams.get('to') ?? '', { headers }) as unknown as Promise<Response>
}

function counted(stream: ReadableStream<Uint8Array> | null): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const source = fromStream(stream)[Symbol.asyncIterator]()
      return {
        async next() {
          const result = await source.next()
          if (result.done !== true) taken += result.value.length
          return result
        },
        async return() {
          return (await source.return?.()) ?? { done: true, value: undefined }
        },
      }
    },
  }
}
