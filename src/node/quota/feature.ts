import { randomUUID } from 'node:crypto'
import { TusError } from '../../errors.ts'
import type { ProgressEvent, RequestEvent, UploadHooks } from '../../hooks.ts'
import { hasBody } from '../body.ts'
import { type Exchange, exchangeOf } from '../exchange.ts'
import type { Feature, RequestContext } from '../features.ts'
import { addressOf } from './client.ts'
import type { Ledger, Refusal } from './ledger.ts'

export interface QuotaOptions {
  readonly ledger: Ledger
  /** Whether bytes are counted. */
  readonly countsBytes: boolean
  /** As in `addressOf`. */
  readonly trustForwarded: boolean
  /** Who asks, where that is known: the owner of uploads. */
  readonly ownerOf: (context: Partial<RequestContext>) => string | null
  readonly onRefusal?: (limit: Refusal['limit']) => void
}

/** A body that has its place. */
interface Visit {
  readonly client: string
  /** Bytes told to the ledger so far. */
  charged: number
}

/** Refuses bodies beyond the limits with 429, and ends those that run when their client has sent its share. */
export function quotaFeature(options: QuotaOptions): Feature {
  const { ledger, countsBytes, trustForwarded, ownerOf, onRefusal } = options
  const visits = new WeakMap<Exchange, Visit>()

  const refused = ({ limit, retryAfter }: Refusal): TusError => {
    onRefusal?.(limit)
    return new TusError('rejected', messages[limit], { status: 429, headers: { 'Retry-After': String(retryAfter) } })
  }
  const charge = (exchange: Exchange, visit: Visit) => {
    const received = exchange.platform.received()
    const bytes = received - visit.charged
    visit.charged = received
    return bytes === 0 ? null : ledger.charge(visit.client, bytes)
  }
  const begin = async (exchange: Exchange, client: string, slot: string) => {
    const visit: Visit = { client, charged: 0 }
    let hasEntered = false
    const end = () => {
      if (!hasEntered) return
      hasEntered = false
      if (countsBytes) void charge(exchange, visit)
      ledger.leave(client, slot)
    }
    exchange.ends.push(end)
    const refusal = await ledger.enter(client, slot)
    if (refusal !== null) throw refused(refusal)
    hasEntered = true
    visits.set(exchange, visit)
    // The client has gone meanwhile.
    if (exchange.isOver) end()
  }

  const admit = async (exchange: Exchange, { uploadId, request, remoteAddress, context }: RequestEvent) => {
    const owner = ownerOf(context ?? {})
    const client =
      owner === null ? `address ${addressOf(request.headers, remoteAddress, trustForwarded)}` : `owner ${owner}`
    await begin(exchange, client, uploadId ?? ` ${randomUUID()}`)
    return none
  }

  const hooks: UploadHooks<RequestContext> = {
    onRequest(event: RequestEvent) {
      // Most requests have no body.
      if (event.operation !== 'append' && event.operation !== 'create') return none
      const exchange = exchangeOf(event.request)
      return exchange !== undefined && hasBody(exchange.incoming) ? admit(exchange, event) : none
    },
    ...(countsBytes && {
      async onProgress({ request, stop }: ProgressEvent<RequestContext>) {
        const exchange = exchangeOf(request)
        const visit = exchange === undefined ? undefined : visits.get(exchange)
        if (exchange === undefined || visit === undefined) return
        const refusal = await charge(exchange, visit)
        if (refusal !== null) stop(refused(refusal))
      },
    }),
  }
  return { hooks }
}

/** What this feature adds to what is known about a request. */
const none: RequestContext = {}

const messages: Record<Refusal['limit'], string> = {
  active: 'The server takes no more uploads at the moment; come back later and go on',
  active_per_client: 'Too many uploads at the same time; wait for one of yours to end and go on',
  bytes_per_client: 'You have sent all that you may for now; come back later and go on',
}
