/**
 * fileloft on Cloudflare Workers, storing in R2.
 *
 * It needs no Durable Object to lock uploads. In one isolate the newest request takes over from the one before; where
 * two isolates meet on one upload, the conditional write of its record lets one go on, and the other client is told 423
 * and asks for the offset again.
 */
import { createTusHandler, type TusHandler } from 'fileloft'
import { r2Store, type R2Binding } from 'fileloft/stores/r2'

interface Env {
  readonly BUCKET: R2Binding
}

interface ExecutionContext {
  waitUntil(work: Promise<unknown>): void
}

/** One per isolate: requests share its locks and its memory. */
let handler: TusHandler | undefined

function handlerOn({ BUCKET }: Env): TusHandler {
  return (handler ??= createTusHandler({
    path: '/files',
    store: r2Store({ bucket: BUCKET }),
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
