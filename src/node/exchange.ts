import { randomUUID } from 'node:crypto'
import { chunkFreer } from './free.ts'
import { type Incoming, type NodePlatform, nodePlatform, type Outgoing } from './platform.ts'

/** A request on its way through the server, its answer, and what becomes known about both. */
export interface Exchange {
  /** Names the request in the log and in its answer: `X-Request-Id`. */
  readonly id: string
  /** Of the URL, without query: nothing secret. */
  readonly path: string
  readonly incoming: Incoming
  readonly outgoing: Outgoing
  readonly platform: NodePlatform
  /** `performance.now()` when it came. */
  readonly startedAt: number
  /** Called for each chunk of its body, once `platform.received()` counts it. */
  onChunk: (() => void) | null
  /** Called when it is over: the answer is out, or its client gone. One list costs less than listeners of each. */
  readonly ends: (() => void)[]
  /** Whether those have been called. */
  isOver: boolean
  /** Id of the upload that it creates. */
  created: string | undefined
  /** Names the trace that it is part of, where there is one. */
  traceId: string | undefined
}

/**
 * Where a request carries its exchange. A WeakMap would keep each value, and all that hangs on it, until the old objects
 * are collected: the young ones' collector takes the map's entries for references.
 */
const link = Symbol('exchange')

type Linked = Request & { [link]?: Exchange }

/** Bodies with fewer bytes to come are not worth leaving the parser. */
const directFrom = 512 * 1024

export interface ChunkEvents {
  /** Called for each chunk of a body with its size in bytes. */
  readonly onReceived: ((size: number) => void) | null
  /** Called for each chunk that was freed, likewise. */
  readonly onFreed: (size: number) => void
}

/** Begins an exchange: the handler's answer will carry the request's id. Others are given it by `nameAnswer`. */
export function openExchange(incoming: Incoming, outgoing: Outgoing, { onReceived, onFreed }: ChunkEvents): Exchange {
  const id = requestId(incoming)
  const onChunk = (size: number) => {
    onReceived?.(size)
    exchange.onChunk?.()
  }
  const exchange: Exchange = {
    id,
    path: pathOf(incoming.url ?? ''),
    incoming,
    outgoing,
    platform: nodePlatform(incoming, outgoing, {
      onReceived: onChunk,
      answerHeaders: { 'X-Request-Id': id },
      freeChunk: chunkFreer(incoming, onFreed),
      directFrom,
    }),
    onChunk: null,
    startedAt: performance.now(),
    ends: [],
    isOver: false,
    created: undefined,
    traceId: undefined,
  }
  outgoing.once('close', () => {
    exchange.isOver = true
    for (const end of exchange.ends) end()
  })
  return exchange
}

/**
 * Puts the request's id into an answer that is not the handler's. Not into all of them: Node writes headers the slow way
 * after one was set apart.
 */
export function nameAnswer({ id, outgoing }: Exchange): void {
  outgoing.setHeader('X-Request-Id', id)
}

/** Lets `exchangeOf` find it. */
export function linkExchange(request: Linked, exchange: Exchange): void {
  request[link] = exchange
}

/** The exchange that a request, as hooks and routes see it, is part of; undefined for one that this server did not get. */
export function exchangeOf(request: Linked | null): Exchange | undefined {
  return request?.[link]
}

/** Status of a request whose client went before there was an answer, as nginx writes it. */
const clientGone = 499

/** The status that was answered, once the exchange is over. */
export function statusOf({ outgoing }: Exchange): number {
  return outgoing.headersSent ? outgoing.statusCode : clientGone
}

/** Whether somebody only asks how the server is: no uploads are concerned. */
export function isProbe({ path }: Exchange): boolean {
  return path === '/healthz' || path === '/readyz' || path === '/metrics'
}

/** What proxies and tracers use as ids: nothing that a log or a header could be broken with. */
const sane = /^[\w.:@+/=~-]{1,128}$/

/** The client's (or a proxy's), so that both sides' logs fit together; one of ours where there is none that is sane. */
function requestId({ headers }: Incoming): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && sane.test(given) ? given : randomUUID()
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  const path = end < 0 ? url : url.slice(0, end)
  // A proxy's absolute form may name a user and a password.
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '')
}
