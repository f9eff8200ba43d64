import { type Cors, createCors } from './cors.ts'
import { StoreError, TusError } from './errors.ts'
import type { Operation, UploadHooks } from './hooks.ts'
import { decodeId } from './id.ts'
import { createLocator } from './location.ts'
import type { TusHandler, TusHandlerOptions } from './options.ts'
import type { Platform } from './platform.ts'
import { type Contexts, createContexts } from './settings.ts'
import type { Store } from './store.ts'
import type { Answer, Call } from './tus/answer.ts'
import { remove } from './tus/delete.ts'
import { get } from './tus/get.ts'
import { head } from './tus/head.ts'
import { version } from './tus/headers.ts'
import { options as describeServer } from './tus/options.ts'
import { patch } from './tus/patch.ts'
import { post } from './tus/post.ts'
import type { Caller } from './upload/caller.ts'
import type { Context, State } from './upload/context.ts'
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
export function createTusHandler<C = unknown>(options: TusHandlerOptions<C>): TusHandler {
  // What hooks hand to each other goes through here unseen.
  const { store, ...rest } = options as unknown as TusHandlerOptions
  const contexts = createContexts({ store, ...rest })
  const { state } = contexts
  const mount = options.path.replace(/\/+$/, '')
  const methods = allowedMethods(contexts)
  // For preflights every method in use: browsers ask before they know the path's own.
  const cors = createCors(options.cors ?? {}, [...new Set([...methods.collection, ...methods.upload])])
  const storeFor = typeof store === 'function' ? store : () => store
  const fixed = typeof store === 'function' ? null : contexts.of(store)
  const server: Server = {
    mount,
    methods,
    cors,
    onRequest: rest.onRequest,
    state,
    contextOf:
      fixed === null ? async ({ request, context }) => contexts.of(await storeFor(request, context)) : () => fixed,
  }
  const { baseUrl, ...location } = options.location ?? {}
  // As it may stand in a header: a host of another script in its ASCII form, a path encoded.
  const places = baseUrl === undefined ? location : { ...location, baseUrl: new URL(baseUrl).href }
  let active = 0
  let idle: (() => void) | null = null
  let closed: Promise<void> | null = null

  const answer = async (request: Request, platform?: Platform): Promise<Response> => {
    active++
    try {
      const { remoteAddress, remotePort, waitUntil } = platform ?? {}
      const caller: Caller = {
        request,
        remoteAddress,
        remotePort,
        waitUntil,
        context: undefined,
        reply: null,
        query: '',
      }
      const locator = createLocator(mount, places, request, platform)
      return await respond({ request, platform, locator, caller }, server)
    } finally {
      active--
      if (active === 0) idle?.()
    }
  }
  const handle = (request: Request, platform?: Platform): Promise<Response> => {
    const response = answer(request, platform)
    // A client that goes away must not take along what it had sent.
    platform?.waitUntil?.(response)
    return response
  }
  return Object.assign(handle, {
    extensions: [...contexts.extensions],
    async sweep(which?: Store) {
      const swept = which ?? (typeof store === 'function' ? undefined : store)
      if (swept === undefined)
        throw new TypeError('sweep needs to be told which store: the handler has one per request')
      return sweep(contexts.of(swept))
    },
    close() {
      state.closing = true
      stopAll(state)
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
  readonly onRequest: UploadHooks['onRequest']
  readonly state: State
  readonly contextOf: (caller: Caller) => Context | Promise<Context>
}

/** A request before it is known which store it is for. */
type Opening = Omit<Call, 'context'>

/** The one place where answers and failures become responses. */
async function respond(call: Opening, server: Server): Promise<Response> {
  try {
    return toResponse(await route(call, server), call, server)
  } catch (error) {
    try {
      return toResponse(failure(error, call, server), call, server)
    } catch (unsendable) {
      // A header that no response can carry.
      server.state.report(unsendable, call.caller)
      return new Response('Internal error\n', {
        status: 500,
        headers: { ...commonHeaders, ...call.platform?.answerHeaders },
      })
    }
  }
}

function toResponse(
  { status, headers, body }: Answer,
  { request, platform, caller }: Opening,
  { cors, state }: Server,
): Response {
  const all: Record<string, string> = { ...commonHeaders, ...headers }
  try {
    cors(request, all)
  } catch (error) {
    // An origin rule that throws allows nobody.
    state.report(error, caller)
  }
  if (platform?.answerHeaders !== undefined) addMissing(all, platform.answerHeaders)
  if (request.method === 'HEAD') return new Response(null, { status, headers: all })
  // Without it servers fall back to chunks, even for nothing.
  if (body === undefined && status !== 204 && status !== 304) all['Content-Length'] ??= '0'
  return new Response(body ?? null, { status, headers: all })
}

/** The same name in another case would be sent as well, and read as one header with both values. */
function addMissing(all: Record<string, string>, more: Readonly<Record<string, string>>): void {
  for (const name in more) {
    const lower = name.toLowerCase()
    const isThere = Object.keys(all).some((known) => known.length === lower.length && known.toLowerCase() === lower)
    if (!isThere) all[name] = more[name] ?? ''
  }
}

async function route(opening: Opening, server: Server): Promise<Answer> {
  const { mount, methods, onRequest, contextOf } = server
  const { request, caller } = opening
  const method = methodOf(request)
  const { id } = targetOf(request, mount)
  const allowed = id === null ? methods.collection : methods.upload
  if (!allowed.includes(method)) throw notAllowed(method, allowed)
  // A browser or a player asks for the file without knowing of tus.
  const tus = request.headers.get('tus-resumable')
  const isFile = id !== null && (method === 'GET' || (method === 'HEAD' && tus === null && allowed.includes('GET')))
  if (onRequest !== undefined && !isPreflight(request)) {
    const { remoteAddress, remotePort } = caller
    const operation = isFile ? 'download' : operationOf(method, request)
    caller.context = await onRequest({ operation, uploadId: id, request, remoteAddress, remotePort })
  }
  const found = contextOf(caller)
  const context = found instanceof Promise ? await found : found
  const call: Call = { context, ...opening }

  if (method === 'OPTIONS') return describeServer(call)
  if (isFile && context.downloads) return get(call, id, method === 'HEAD' ? 'HEAD' : 'GET')
  if (tus !== version) throw new TusError('unsupported_version', undefined, { headers: { 'Tus-Version': version } })
  if (method === 'GET') throw notAllowed(method, allowed)
  if (id !== null && method === 'HEAD') return head(call, id)
  if (id !== null && method === 'DELETE') return remove(call, id)
  if (context.state.closing) throw new TusError('shutting_down')
  return id === null ? post(call) : patch(call, id)
}

function notAllowed(method: string, allowed: readonly string[]): TusError {
  return new TusError('method_not_allowed', `${method} is not allowed here`, { headers: { Allow: allowed.join(', ') } })
}

/** Asked by browsers, which know no credentials then (Fetch, CORS-preflight request). */
function isPreflight({ method, headers }: Request): boolean {
  return method === 'OPTIONS' && headers.has('origin') && headers.has('access-control-request-method')
}

function operationOf(method: string, { headers }: Request): Operation {
  if (method === 'OPTIONS') return 'options'
  if (method === 'HEAD') return 'inspect'
  if (method === 'PATCH') return 'append'
  if (method === 'DELETE') return 'terminate'
  return headers.get('upload-concat')?.startsWith('final') === true ? 'concatenate' : 'create'
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

function allowedMethods({ extensions, downloads }: Contexts): Server['methods'] {
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

function failure(error: unknown, { caller }: Opening, { state }: Server): Answer {
  const text = { 'Content-Type': 'text/plain; charset=utf-8' }
  if (error instanceof TusError) {
    if (error.status >= 500 && error.cause !== undefined) state.report(error, caller)
    const isTyped = Object.keys(error.headers).some((name) => name.toLowerCase() === 'content-type')
    const headers = isTyped ? error.headers : { ...text, ...error.headers }
    return { status: error.status, headers, body: error.body ?? `${error.message}\n` }
  }
  state.report(error, caller)
  if (error instanceof StoreError) return { status: error.status, headers: text, body: `${error.publicMessage}\n` }
  return { status: 500, headers: text, body: 'Internal error\n' }
}
