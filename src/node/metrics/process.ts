import { AggregatorRegistry, collectDefaultMetrics, Registry } from 'prom-client'
import type { Counts } from './meters.ts'

/** The metrics of the whole process: what its threads have counted, added up, and its own figures. */
export interface ProcessMetrics {
  /** In Prometheus's text format. @param all What each thread has counted. */
  readonly text: (all: readonly Counts[]) => Promise<string>
}

/** To be made once, in the main thread: CPU, memory and event loop would be counted for each thread else. */
export function processMetrics(): ProcessMetrics {
  const own = new Registry()
  collectDefaultMetrics({ register: own })
  return {
    async text(all) {
      const summed = AggregatorRegistry.aggregate(all.map((counts) => [...counts]))
      return `${await summed.metrics()}\n${await own.metrics()}`
    },
  }
}
