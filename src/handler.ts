import { type Cors, createCors } from './cors.ts'
import { StoreError, TusError } from './errors.ts'
import { decodeId } from './id.ts'
import { createLocator } from './location.ts'
import type { TusHandler, TusHandlerOptions } from './options.ts'
import type { Platform } from './platform.ts'
import { createContext } from './settings.ts'
import type { Answer, Call } from './tus/answer.ts'
import { remove } from './tus/delete.ts'
import { get } from './tus/get.ts'
import { head } from './tus/head.ts'
import { version } from './tus/headers.ts'
import { options as describeServer } from './tus/options.ts'
import { patch } from './tus/patch.ts'
import { post } from './tus/post.ts'
import type { Context } from './upload/context.ts'
import { stopAll } from './upload/lock.ts'
import { sweep } from './upload/sweep.ts'

/**
 * Makes a tus server out of a store: a function from request to response, to mount in any server that speaks Fetch.
 *
 * @throws TypeError when an option makes no sense.
 * @example
 * const handler = createTusHandler({ path: '/files', store: memoryStore() })
 * export default { fetch: (request: Request) => handler(request) }
 */
export function createTusHandler(options: TusHandlerOptions): TusHandler {
  const context = createContext(options)
  const mount = options.path.replace(/\/+$/, '')
  const methods = allowedMethods(context)
  // For preflights every method in use: browsers ask before they know the path's own.
  const cors = createCors(options.cors ?? {}, [...new Set([...methods.collection, ...methods.upload])])
  const server: Server = { mount, methods, cors }
  const { baseUrl, ...location } = options.location ?? {}
  // As it may stand in a header: a host of another script in its ASCII form, a path encoded.
  const places = baseUrl === undefined ? location : { ...location, baseUrl: new URL(baseUrl).href }
  let active = 0
  let idle: (() => void) | null = null
  let closed: Promise<void> | null = null

  const handle = async (request: Request, platform?: Platform): Promise<Response> => {
    active++
    try {
      const locator = createLocator(mount, places, request, platform)
      return await respond({ context, request, platform, locator }, server)
    } finally {
      active--
      if (active === 0) idle?.()
    }
  }
  return Object.assign(handle, {
    extensions: [...context.extensions],
    sweep: () => sweep(context),
    close() {
      context.closing = true
      stopAll(context)
      closed ??= active === 0 ? Promise.resolve() : new Promise((resolve) => (idle = resolve))
      return closed
    },
  })
}

const commonHeaders = { 'Tus-Resumable': version, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' }

/** What is the same for all requests. */
interface Server {
  /** The path without a trailing slash. */
  readonly mount: string
  readonly methods: { readonly collection: readonly string[]; readonly upload: readonly string[] }
  readonly cors: Cors
}

/** The one place where answers and failures become responses. */
async function respond(call: Call, server: Server): Promise<Response> {
  const { context, request } = call
  const { cors } = server
  try {
    return toResponse(await route(call, server), call, cors)
  } catch (error) {
    try {
      return toResponse(failure(error, context, request), call, cors)
    } catch (unsendable) {
      // A header that no response can carry.
      context.report(unsendable, request)
      return new Response('Internal error\n', { status: 500, headers: commonHeaders })
    }
  }
}

function toResponse({ status, headers, body }: Answer, { context, request }: Call, cors: Cors): Response {
  const all: Record<string, string> = {
    ...commonHeaders,
    ...headers,
  }
  try {
    cors(request, all)
  } catch (error) {
    // An origin rule that throws allows nobody.
    context.report(error, request)
  }
  if (request.method === 'HEAD') return new Response(null, { status, headers: all })
  // Without it servers fall back to chunks, even for nothing.
  if (body === undefined && status !== 204 && status !== 304) all['Content-Length'] ??= '0'
  return new Response(body ?? null, { status, headers: all })
}

async function route(call: Call, { mount, methods }: Server): Promise<Answer> {
  const { context, request } = call
  const method = methodOf(request)
  const target = targetOf(request, mount)
  const allowed = target.id === null ? methods.collection : methods.upload
  if (!allowed.includes(method)) {
    throw new TusError('method_not_allowed', `${method} is not allowed here`, {
      headers: { Allow: allowed.join(', ') },
    })
  }
  if (method === 'OPTIONS') return describeServer(call)
  const { id } = target
  // A browser or a player asks for the file without knowing of tus.
  const tus = request.headers.get('tus-resumable')
  if (id !== null && (method === 'GET' || (method === 'HEAD' && tus === null && context.downloads)))
    return get(call, id, method)
  if (tus !== version) throw new TusError('unsupported_version', undefined, { headers: { 'Tus-Version': version } })
  if (id !== null && method === 'HEAD') return head(call, id)
  if (id !== null && method === 'DELETE') return remove(call, id)
  if (context.closing) throw new TusError('shutting_down')
  return id === null ? post(call) : patch(call, id)
}

function methodOf(request: Request): string {
  const override = request.method === 'POST' ? request.headers.get('x-http-method-override') : null
  return override === null ? request.method : override.trim().toUpperCase()
}

/** What the path names: an upload, or (id null) the place where uploads are created. */
function targetOf(request: Request, mount: string): { id: string | null } {
  const path = pathOf(request.url)
  if (!path.startsWith(mount)) throw new TusError('not_found')
  const rest = path.slice(mount.length)
  if (rest === '' || rest === '/') return { id: null }
  const id = rest.startsWith('/') ? decodeId(rest.slice(1)) : null
  if (id === null) throw new TusError('not_found')
  return { id }
}

/** The path as it stands in the URL; a Request has resolved its dot segments. Cheaper than parsing it again. */
function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('://') + 3)
  if (start < 0) return '/'
  const end = url.slice(start).search(/[?#]/)
  return end < 0 ? url.slice(start) : url.slice(start, start + end)
}

function allowedMethods({ extensions, downloads }: Context): Server['methods'] {
  return {
    collection: extensions.has('creation') ? ['OPTIONS', 'POST'] : ['OPTIONS'],
    upload: [
      'OPTIONS',
      'HEAD',
      'PATCH',
      ...(downloads ? ['GET'] : []),
      ...(extensions.has('termination') ? ['DELETE'] : []),
    ],
  }
}

function failure(error: unknown, context: Context, request: Request): Answer {
  const text = { 'Content-Type': 'text/plain; charset=utf-8' }
  if (error instanceof TusError) {
    if (error.status >= 500 && error.cause !== undefined) context.report(error, request)
    return { status: error.status, headers: { ...text, ...error.headers }, body: `${error.message}\n` }
  }
  context.report(error, request)
  if (error instanceof StoreError) return { status: error.status, headers: text, body: `${error.publicMessage}\n` }
  return { status: 500, headers: text, body: 'Internal error\n' }
}
