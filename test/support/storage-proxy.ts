/**
 * An HTTP proxy between us and an object storage. It counts the requests by kind and the bytes each way, and breaks
 * what a test asks it to break. The Host header passes unchanged, since signatures cover it: give the client this
 * origin as the endpoint and the storage sees what was signed.
 */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request as openRequest, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Dialect, StorageRequest } from './storage-dialects.ts'
import {
  type Fault,
  type FaultName,
  type FaultSource,
  plannedFaults,
  type Planned,
  type RandomFaults,
  randomFaults,
} from './storage-faults.ts'

export interface StorageProxyOptions {
  /** How the storage speaks. */
  readonly dialect: Dialect
  /** Faults to begin with; `plan` adds more. @default none */
  readonly faults?: readonly Planned[]
  /** Faults by chance, where no planned one is due. @default none */
  readonly random?: RandomFaults
}

/** A request that came, in the order of arrival. */
export interface SeenRequest {
  readonly kind: string
  readonly method: string
  /** Path and query. */
  readonly target: string
  /** What the client was answered; null so far, and for good where the connection broke before. */
  status: number | null
  /** What happened to it. */
  readonly fault: FaultName | null
}

export interface StorageProxy extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  /** Requests so far by kind, those included that the storage never heard of. */
  readonly counts: Readonly<Record<string, number>>
  /** Bytes of request bodies passed on to the storage, and of its answers' bodies. */
  readonly bytes: { readonly sent: number; readonly received: number }
  readonly requests: readonly SeenRequest[]
  /** Adds faults. */
  plan(...faults: readonly Planned[]): void
  /** Sets the faults by chance, or none. */
  planRandom(faults: RandomFaults | null): void
  /** Sets counts, bytes and requests to nothing, and drops the faults still planned, those by chance included. */
  reset(): void
  /** Closes everything, connections in use included. `await using` calls it. */
  close(): Promise<void>
}

/** Starts a proxy before a storage server: its port on 127.0.0.1, or its endpoint. */
export async function startStorageProxy(target: number | string, options: StorageProxyOptions): Promise<StorageProxy> {
  const { dialect } = options
  const planned = plannedFaults()
  planned.plan(...(options.faults ?? []))
  let byChance: FaultSource | null = options.random === undefined ? null : randomFaults(dialect, options.random)
  let counts: Record<string, number> = {}
  let requests: SeenRequest[] = []
  const bytes = { sent: 0, received: 0 }
  const closing = new AbortController()
  const { hostname, port: targetPort } = new URL(typeof target === 'number' ? `http://127.0.0.1:${target}` : target)
  // Idle connections are dropped before the storage does it, so that no request meets one that is just closing.
  const agent = new Agent({ keepAlive: true, timeout: 2000 })
  const link: Link = { dialect, hostname, port: Number(targetPort || 80), agent, bytes, signal: closing.signal }

  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 0 }, (req, res) => {
    const request = parse(req)
    const kind = dialect.classify(request)
    const fault = planned.next(kind, hasBody(req)) ?? byChance?.(kind, hasBody(req)) ?? null
    counts[kind] = (counts[kind] ?? 0) + 1
    const seen: SeenRequest = {
      kind,
      method: request.method,
      target: req.url ?? '',
      status: null,
      fault: fault?.is ?? null,
    }
    requests.push(seen)
    res.once('finish', () => (seen.status = res.statusCode))
    // Whichever side broke, the other one learns of it in the only way there is.
    const { socket } = req
    handle(link, req, res, fault).catch(() => reset(socket))
  })
  // A test that failed must not hang for a proxy that it never closed.
  server.on('connection', (socket) => socket.unref())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  const { port } = server.address() as AddressInfo

  const close = async () => {
    closing.abort()
    agent.destroy()
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    get counts() {
      return counts
    },
    bytes,
    get requests() {
      return requests
    },
    plan: (...faults) => planned.plan(...faults),
    planRandom: (faults) => void (byChance = faults === null ? null : randomFaults(dialect, faults)),
    reset() {
      counts = {}
      requests = []
      bytes.sent = 0
      bytes.received = 0
      planned.clear()
      byChance = null
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** What every request shares. */
interface Link {
  readonly dialect: Dialect
  readonly hostname: string
  readonly port: number
  readonly agent: Agent
  readonly bytes: { sent: number; received: number }
  /** Aborted when the proxy closes. */
  readonly signal: AbortSignal
}

async function handle(link: Link, req: IncomingMessage, res: ServerResponse, fault: Fault | null): Promise<void> {
  switch (fault?.is) {
    case 'refuse':
      throw new Broken()
    case 'status':
    case 'error-in-200':
      if (fault.applied === true) await drain(await ask(link, req, res, null))
      // A connection with a body still to come could not be used again.
      else await drain(req)
      return answerError(link, res, fault)
    case 'cut-listing':
    case 'short-listing': {
      const answer = await ask(link, req, res, fault)
      return answerListing(link, answer, res, fault)
    }
    case 'stall':
      if (fault.before === 'request') await delay(fault.ms, undefined, { signal: link.signal })
      break
    case 'reset-request':
    case 'reset-answer':
    case 'slow':
    case undefined:
      break
  }
  const answer = await ask(link, req, res, fault)
  if (fault?.is === 'stall' && fault.before === 'answer') await delay(fault.ms, undefined, { signal: link.signal })
  await passAnswer(link, answer, res, fault)
}

/** Passes the request on. Resolves to the storage's answer once its headers are there. */
async function ask(
  link: Link,
  req: IncomingMessage,
  res: ServerResponse,
  fault: Fault | null,
): Promise<IncomingMessage> {
  const { hostname, port, agent } = link
  // A list that is to be changed has to be readable.
  const dropped = fault?.is === 'cut-listing' || fault?.is === 'short-listing' ? ['accept-encoding'] : []
  const headers = passable(req.rawHeaders, dropped)
  const upstream = openRequest({ hostname, port, agent, method: req.method, path: req.url, headers, setHost: false })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    upstream.once('response', resolve)
    upstream.on('error', reject)
    upstream.once('close', () => reject(new Broken()))
  })
  // Whoever awaits it hears of it; until then it is nobody's.
  const early = answered.then(
    (answer) => answer,
    () => null,
  )
  let isAnswered = false
  void early.then(() => (isAnswered = true))
  res.once('close', () => {
    if (!res.writableFinished) upstream.destroy()
  })

  const pass =
    fault?.is === 'reset-request' ? Math.floor(Number(req.headers['content-length'] ?? 0) * fault.after) : null
  const paced = pacer(link, fault)
  let passed = 0
  let isCut = false
  try {
    if (pass === 0) throw new Broken()
    for await (const chunk of chunks(req)) {
      const part = pass === null ? chunk : chunk.subarray(0, pass - passed)
      await paced(part.length)
      passed += part.length
      // A storage may answer without having read everything, hanging up or not: the rest is for nobody.
      if (!upstream.destroyed && !isAnswered) {
        link.bytes.sent += part.length
        if (!upstream.write(part)) await Promise.race([writable(upstream), early])
      } else isCut = true
      if (pass !== null && passed >= pass) throw new Broken()
    }
  } catch (error) {
    upstream.destroy()
    throw error
  }
  isCut ||= isAnswered
  if (!isCut) upstream.end()
  // It would be waiting for the rest.
  else void early.then((answer) => answer?.once('close', () => upstream.destroy()))
  return answered
}

async function passAnswer(
  link: Link,
  answer: IncomingMessage,
  res: ServerResponse,
  fault: Fault | null,
): Promise<void> {
  // An answer without body is whole with its headers: it is lost altogether, or not at all.
  const length = res.req.method === 'HEAD' ? 0 : Number(answer.headers['content-length'] ?? 0)
  const pass = fault?.is === 'reset-answer' ? Math.min(Math.floor(length * fault.after), length - 1) : null
  if (fault?.is === 'reset-answer' && (fault.after === 0 || length === 0)) {
    // Its end tells that the storage has done everything; a download has nothing to do.
    if (res.req.method !== 'GET') await drain(answer)
    answer.destroy()
    throw new Broken()
  }
  const paced = pacer(link, fault)
  let passed = 0
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, passable(answer.rawHeaders, []))
  for await (const chunk of chunks(answer)) {
    const part = pass === null ? chunk : chunk.subarray(0, pass - passed)
    await paced(part.length)
    passed += part.length
    link.bytes.received += part.length
    if (!res.write(part)) await writable(res)
    if (pass !== null && passed >= pass) break
  }
  if (pass !== null) {
    // What was passed on leaves before the connection breaks.
    res.flushHeaders()
    await new Promise((resolve) => res.socket?.write('', resolve) ?? resolve(null))
    throw new Broken()
  }
  res.end()
}

async function answerListing(link: Link, answer: IncomingMessage, res: ServerResponse, fault: Fault): Promise<void> {
  const parts: Buffer[] = []
  for await (const chunk of chunks(answer)) parts.push(chunk)
  const listing = Buffer.concat(parts).toString()
  link.bytes.received += Buffer.byteLength(listing)
  const isListing = answer.statusCode === 200
  const cut = () => listing.slice(0, Math.floor(listing.length / 2))
  const body = !isListing ? listing : fault.is === 'cut-listing' ? cut() : link.dialect.shorten(listing)
  const headers = passable(answer.rawHeaders, ['content-length', 'transfer-encoding', 'content-md5'])
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers)
  res.end(body)
}

function answerError(link: Link, res: ServerResponse, fault: Extract<Fault, { is: 'status' | 'error-in-200' }>): void {
  const status = fault.is === 'status' ? fault.status : 200
  const { headers, body } = link.dialect.error(fault.is === 'status' ? status : 500)
  if (fault.is === 'status' && fault.retryAfter !== undefined) res.setHeader('Retry-After', fault.retryAfter)
  res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) })
  res.end(res.req.method === 'HEAD' ? undefined : body)
}

/** A connection that is to be reset, or was. */
class Broken extends Error {
  override readonly name = 'Broken'
}

/** Not where it is ending already: Node never closes such a socket then, and spins for ever when the process ends. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function parse(req: IncomingMessage): StorageRequest {
  // Not as the base of a relative URL: a path may begin with two slashes.
  return { method: req.method ?? '', url: new URL(`http://storage${req.url}`), headers: req.headers }
}

function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
}

/** Raw headers without those that concern one connection only. */
function passable(raw: readonly string[], dropped: readonly string[]): string[] {
  const without = new Set(['connection', 'keep-alive', 'proxy-connection', ...dropped])
  return raw.filter((_, i) => !without.has(raw[i - (i % 2)]!.toLowerCase()))
}

/** Waits before bytes pass, where the link is slow. */
function pacer(link: Link, fault: Fault | null): (bytes: number) => Promise<void> {
  if (fault?.is !== 'slow') return () => Promise.resolve()
  const since = performance.now()
  let total = 0
  return async (bytes) => {
    total += bytes
    const wait = since + (total / fault.bytesPerSecond) * 1000 - performance.now()
    if (wait >= 1) await delay(wait, undefined, { signal: link.signal })
  }
}

/** What comes in; leaving it early closes nothing, since a connection is to be reset then rather than closed. */
function chunks(stream: IncomingMessage): AsyncIterable<Buffer> {
  return stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
}

async function drain(stream: IncomingMessage): Promise<void> {
  for await (const chunk of chunks(stream)) void chunk
}

/** Resolves when more can be written, or nothing can any more. */
function writable(stream: Writable): Promise<void> {
  if (stream.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done)
      stream.off('close', done)
      resolve()
    }
    stream.once('drain', done)
    stream.once('close', done)
  })
}
