/**
 * fileloft on Cloudflare Workers, storing in R2.
 *
 * A Durable Object for each upload locks it: the newest request takes over from the one before, in whatever isolate that
 * runs, and what had arrived there is stored first. Without it nothing breaks, for R2 writes an upload's record on
 * condition; but only one isolate's own requests make way for each other.
 */
import { createTusHandler, type TusHandler } from 'fileloft'
import { durableObjectLocker, type LockNamespace } from 'fileloft/lockers/durable-object'
import { r2Store, type R2Binding } from 'fileloft/stores/r2'

export { UploadLock } from 'fileloft/lockers/durable-object'

interface Env {
  readonly BUCKET: R2Binding
  readonly LOCKS: LockNamespace
}

interface ExecutionContext {
  waitUntil(work: Promise<unknown>): void
}

/** One per isolate: requests share its memory. */
let handler: TusHandler | undefined

function handlerOn({ BUCKET, LOCKS }: Env): TusHandler {
  return (handler ??= createTusHandler({
    path: '/files',
    store: r2Store({ bucket: BUCKET }),
    locker: durableObjectLocker(LOCKS),
    // R2 itself gives up on unfinished uploads after seven days.
    expiration: { afterMs: 6 * 24 * 3600 * 1000 },
  }))
}

export default {
  fetch: (request: Request, env: Env, ctx: ExecutionContext) =>
    handlerOn(env)(request, { waitUntil: (work) => ctx.waitUntil(work) }),

  /** Removes what has expired, at the hours in wrangler.jsonc. */
  scheduled: (_: unknown, env: Env, ctx: ExecutionContext) => ctx.waitUntil(handlerOn(env).sweep()),
}
