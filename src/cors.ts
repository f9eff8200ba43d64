/** CORS headers for every answer: which pages may read it, and what a preflight may promise. */
import type { CorsOptions, OriginRule } from './options.ts'

const requestHeaders = [
  'Authorization',
  'Content-Type',
  'Origin',
  'Tus-Resumable',
  'Upload-Checksum',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  'X-HTTP-Method-Override',
  'X-Request-ID',
  'X-Requested-With',
]

const responseHeaders = [
  'Location',
  'Tus-Checksum-Algorithm',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Resumable',
  'Tus-Version',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Expires',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  // Of whoever runs the handler.
  'X-Request-Id',
  // Of downloads and errors.
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Range',
  'ETag',
  'Retry-After',
  'WWW-Authenticate',
]

/** Adds to `headers` what a request's `Origin` calls for. */
export type Cors = (request: Request, headers: Record<string, string>) => void

/** @throws TypeError when credentials are allowed for every origin. */
export function createCors(options: CorsOptions | false, methods: readonly string[]): Cors {
  if (options === false) return () => {}
  const { allowCredentials = false, maxAgeSeconds = 86_400 } = options
  const rules = [options.allowOrigin ?? '*'].flat()
  const any = rules.includes('*')
  if (any && allowCredentials) {
    throw new TypeError("cors.allowCredentials needs origins other than '*': browsers refuse both together")
  }
  const allowHeaders = [...requestHeaders, ...(options.allowHeaders ?? [])].join(', ')
  const exposeHeaders = [...responseHeaders, ...(options.exposeHeaders ?? [])].join(', ')
  const allowMethods = methods.join(', ')

  return (request, headers) => {
    // The answer differs by origin, also for a request that named none: caches must know.
    if (!any) headers['Vary'] = 'Origin'
    const origin = request.headers.get('origin')
    if (!any && (origin === null || !rules.some((rule) => matches(rule, origin, request)))) return
    // Without an origin, too, where it makes no difference: a cache may hand the answer to a page later.
    headers['Access-Control-Allow-Origin'] = any || origin === null ? '*' : origin
    if (allowCredentials) headers['Access-Control-Allow-Credentials'] = 'true'
    if (request.method === 'OPTIONS' && request.headers.has('access-control-request-method')) {
      headers['Access-Control-Allow-Methods'] = allowMethods
      headers['Access-Control-Allow-Headers'] = allowHeaders
      headers['Access-Control-Max-Age'] = String(maxAgeSeconds)
    } else {
      headers['Access-Control-Expose-Headers'] = exposeHeaders
    }
  }
}

function matches(rule: OriginRule, origin: string, request: Request): boolean {
  if (typeof rule === 'string') return rule === origin
  if (typeof rule === 'function') {
    const allowed: unknown = rule(origin, request)
    // The promise of an async function must neither open the door nor end the process when it rejects.
    if (allowed instanceof Promise) allowed.catch(() => {})
    return allowed === true
  }
  // A global or sticky expression remembers where it stopped.
  rule.lastIndex = 0
  return rule.test(origin)
}
