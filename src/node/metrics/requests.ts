import { hasBody } from '../body.ts'
import { type Exchange, isProbe, statusOf } from '../exchange.ts'
import type { Meters } from './meters.ts'

const methods = new Set(['OPTIONS', 'HEAD', 'GET', 'POST', 'PATCH', 'DELETE'])

/** Counts requests. Probes are left out: they would outnumber all else. */
export function requestMeter(meters: Meters): (exchange: Exchange) => void {
  const { requests, requestSeconds, activeUploads } = meters
  return (exchange) => {
    if (isProbe(exchange)) return
    const { incoming, ends, startedAt } = exchange
    const method = methods.has(incoming.method ?? '') ? (incoming.method ?? '') : 'other'
    const isActive = (method === 'POST' || method === 'PATCH') && hasBody(incoming)
    if (isActive) activeUploads.inc()
    ends.push(() => {
      if (isActive) activeUploads.dec()
      requests.inc({ method, status: statusOf(exchange) })
      requestSeconds.observe({ method }, (performance.now() - startedAt) / 1000)
    })
  }
}

/** Counts the bytes of bodies as they arrive: adding a number for each chunk, and no more. */
export function byteMeter({ live }: Meters): (size: number) => void {
  return (size) => {
    live.received += size
  }
}
