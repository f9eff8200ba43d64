/** A Worker with an R2 bucket. */
import { createTusHandler, type TusHandler } from 'fileloft'
import { r2Store, type R2Binding } from 'fileloft/stores/r2'

let handler: TusHandler | undefined

export default {
  fetch(request: Request, env: { readonly BUCKET: R2Binding }): Promise<Response> {
    handler ??= createTusHandler({ path: '/files', store: r2Store({ bucket: env.BUCKET }), downloads: true })
    return handler(request)
  },
}
