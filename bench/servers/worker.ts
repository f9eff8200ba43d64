/** The handler in a Worker, on R2 with its defaults; downloads are on, so that the bench can look at what is stored. */
import type { R2Binding } from '../../src/buckets/r2-binding.ts'
import { createTusHandler, type TusHandler } from '../../src/index.ts'
import { r2Store } from '../../src/stores/r2.ts'

export { UploadLock } from '../../src/lockers/durable-object.ts'

let handler: TusHandler | undefined

export default {
  fetch(request: Request, env: { readonly BUCKET: R2Binding }, ctx: { waitUntil(work: Promise<unknown>): void }) {
    handler ??= createTusHandler({ path: '/files', store: r2Store({ bucket: env.BUCKET }), downloads: true })
    return handler(request, { waitUntil: (work) => ctx.waitUntil(work) })
  },
}
