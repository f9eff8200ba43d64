import { AggregatorRegistry, Registry } from 'prom-client'
import type { Counts } from './meters.ts'

/** The metrics of the whole process: what its threads have counted, added up, and its own figures. */
export interface ProcessMetrics {
  /** In Prometheus's text format. @param all What each thread has counted. */
  readonly text: (all: readonly Counts[]) => Promise<string>
}

/**
 * Prom-client's default metrics but one: that of garbage collections has Node make an object for each, and there are
 * hundreds a second here, for new objects have little space (cli.ts).
 */
const figures = [
  'processCpuTotal',
  'processStartTime',
  'osMemoryHeap',
  'processOpenFileDescriptors',
  'processMaxFileDescriptors',
  'eventLoopLag',
  'processResources',
  'heapSizeAndUsed',
  'version',
] as const

type Register = (registry: Registry, config?: { readonly eventLoopMonitoringPrecision: number }) => void

/** To be made once, in the main thread: CPU, memory and event loop would be counted for each thread else. */
export async function processMetrics(): Promise<ProcessMetrics> {
  const own = new Registry()
  for (const name of figures) {
    const { default: register } = (await import(`prom-client/lib/metrics/${name}.js`)) as { default: Register }
    register(own, { eventLoopMonitoringPrecision: 10 })
  }
  return {
    async text(all) {
      const summed = AggregatorRegistry.aggregate(all.map((counts) => [...counts]))
      return `${await summed.metrics()}\n${await own.metrics()}`
    },
  }
}
