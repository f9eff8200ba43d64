import { randomUUID } from 'node:crypto'
import { TusError } from '../../errors.ts'
import type { RequestEvent } from '../../hooks.ts'
import { hasBody } from '../body.ts'
import { type Exchange, exchangeOf } from '../exchange.ts'
import type { Feature, RequestContext } from '../features.ts'
import { addressOf } from './client.ts'
import type { Charge, Ledger, Refusal } from './ledger.ts'

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

/** Refuses bodies beyond the limits with 429, and ends those that run when their client has sent its share. */
export function quotaFeature(options: QuotaOptions): Feature {
  const { ledger, countsBytes, trustForwarded, ownerOf, onRefusal } = options

  const refused = ({ limit, retryAfter }: Refusal): TusError => {
    onRefusal?.(limit)
    return new TusError('rejected', messages[limit], { status: 429, headers: { 'Retry-After': String(retryAfter) } })
  }
  const begin = async (exchange: Exchange, client: string, slot: string) => {
    let hasEntered = false
    const end = () => {
      if (!hasEntered) return
      hasEntered = false
      ledger.leave(client, slot)
    }
    exchange.ends.push(end)
    const refusal = await ledger.enter(client, slot)
    if (refusal !== null) throw refused(refusal)
    hasEntered = true
    if (countsBytes) exchange.onChunk = charger(ledger, exchange, client, refused)
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

  return {
    hooks: {
      onRequest(event: RequestEvent) {
        // Most requests have no body.
        if (event.operation !== 'append' && event.operation !== 'create') return none
        const exchange = exchangeOf(event.request)
        return exchange !== undefined && hasBody(exchange.incoming) ? admit(exchange, event) : none
      },
    },
  }
}

/**
 * Charges each chunk of a body as it comes, whatever becomes of it: that a client's bytes are not stored, or not yet, makes
 * them no cheaper to receive. The chunk that goes beyond the limit is the body's last one.
 */
function charger(
  ledger: Ledger,
  { platform, incoming }: Exchange,
  client: string,
  refused: (reason: Refusal) => TusError,
): () => void {
  let charged = 0
  /** Bytes that the client may send, as far as that is known. */
  let left = 0
  let isAsking = false
  let isRefused = false
  const settle = (charge: Charge) => {
    if (typeof charge === 'number') {
      left = charge
      return
    }
    // All that was announced is here: there is nothing left to refuse.
    const isWhole = platform.received() >= Number(incoming.headers['content-length'] ?? Infinity)
    if (isRefused || isWhole) return
    isRefused = true
    platform.body.refuse(refused(charge))
  }
  const onChunk = () => {
    const bytes = platform.received() - charged
    if (isAsking) {
      // Others of the client's bodies may run as well.
      if (bytes > left / margin) platform.body.hold(true)
      return
    }
    if (bytes === 0) return
    charged += bytes
    const charge = ledger.charge(client, bytes)
    if (!(charge instanceof Promise)) return settle(charge)
    // Another thread keeps the ledger: what comes until it answers is charged in one.
    isAsking = true
    if (bytes > left / margin) platform.body.hold(true)
    void charge.then((told) => {
      isAsking = false
      settle(told)
      platform.body.hold(false)
      onChunk()
    })
  }
  return onChunk
}

/** Which part of what a client may still send comes unasked, at the most. */
const margin = 16

/** What this feature adds to what is known about a request. */
const none: RequestContext = {}

const messages: Record<Refusal['limit'], string> = {
  active: 'The server takes no more uploads at the moment; come back later and go on',
  active_per_client: 'Too many uploads at the same time; wait for one of yours to end and go on',
  bytes_per_client: 'You have sent all that you may for now; come back later and go on',
}
