/** A Worker that tells how much of the bodies it has taken (`/taken`), and has a lock for as long as it is asked (`/hold`). */
import { fromStream } from '../../src/body/receive.ts'
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import { createTusHandler, type TusHandler } from '../../src/index.ts'
import { durableObjectLocker, type LockNamespace } from '../../src/lockers/durable-object.ts'
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
    const { pathname, search } = new URL(request.url)
    const locker = durableObjectLocker(env.LOCKS)
    if (pathname === '/taken') return new Response(String(taken))
    if (pathname === '/hold') {
      await locker.acquire(search.slice(1), { signal: new AbortController().signal })
      // Nothing but the end of the request gives it back.
      await new Promise(() => setInterval(() => {}, 1000))
    }
    handler ??= createTusHandler({ path: '/files', store: r2Store({ bucket: env.BUCKET }), locker })
    return handler(request, { body: counted(request.body), waitUntil: (work) => ctx.waitUntil(work) })
  },
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
