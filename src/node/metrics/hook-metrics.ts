import type { Meters } from './meters.ts'

/** Where whoever delivers webhooks and command hooks tells how it went. */
export interface HookMetrics {
  /**
   * An attempt to deliver is over.
   * @param event The hook's type, such as `post-finish`: one of those there are.
   * @param outcome `dead` for one that will not be tried again.
   * @param seconds What the attempt took; null where it is no attempt of its own.
   */
  delivered(event: string, outcome: 'ok' | 'failed' | 'dead', seconds: number | null): void
}

/** Counts nothing. */
export const noHookMetrics: HookMetrics = { delivered() {} }

/** Counts deliveries. */
export function hookMetrics({ deliveries, deliverySeconds }: Meters): HookMetrics {
  return {
    delivered(event, outcome, seconds) {
      deliveries.inc({ event, outcome })
      if (seconds !== null) deliverySeconds.observe({ event }, seconds)
    },
  }
}
