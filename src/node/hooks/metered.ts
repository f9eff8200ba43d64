import type { HookMetrics } from '../metrics/hook-metrics.ts'
import type { Transport } from './transport.ts'

/** The transport, with each try counted. */
export function meteredTransport(transport: Transport, metrics: HookMetrics): Transport {
  return {
    ...transport,
    async send(message, signal) {
      const since = performance.now()
      const tell = (outcome: 'ok' | 'failed') =>
        metrics.delivered(message.type, outcome, (performance.now() - since) / 1000)
      try {
        const answer = await transport.send(message, signal)
        tell('ok')
        return answer
      } catch (error) {
        tell('failed')
        throw error
      }
    },
  }
}
