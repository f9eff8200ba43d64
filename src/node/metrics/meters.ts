import { Counter, Gauge, Histogram, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client'
import type { BufferMemory } from '../../objects/observer.ts'

/** What a thread has counted, to be added up with what others have. */
export type Counts = readonly MetricObjectWithValues<MetricValue<string>>[]

/** Everything that is counted. Labels hold a known, small number of values each: no ids, paths or addresses. */
export type Meters = ReturnType<typeof createMeters>

/** Seconds of a request: from a HEAD to hours of body. */
const requestBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200]
const waitBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 60]
const callBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Makes the metrics of this thread, all at zero. */
export function createMeters() {
  const registry = new Registry()
  const registers = [registry]
  /** What is looked at only when somebody asks: it changes too often to be told each time. */
  const live: { received: number; memory: BufferMemory } = { received: 0, memory: { used: 0, budget: 0 } }
  const counter = <T extends string = never>(name: string, help: string, labelNames: readonly T[] = []) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers })
  const gauge = (name: string, help: string, read?: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      ...(read !== undefined && {
        collect() {
          this.set(read())
        },
      }),
    })
  const histogram = <T extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly T[] = [],
  ) => new Histogram<T>({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers })

  return {
    registry,
    live,
    requests: counter(
      'fileloft_http_requests_total',
      'Requests that are over, by method and by status: 499 when the client went before there was an answer',
      ['method', 'status'],
    ),
    requestSeconds: histogram(
      'fileloft_http_request_duration_seconds',
      'From the headers of a request to the end of its answer, body included',
      requestBuckets,
      ['method'],
    ),
    receivedBytes: new Counter({
      name: 'fileloft_received_bytes_total',
      help: 'Bytes of request bodies as they arrive, stored or not',
      registers,
      collect() {
        this.inc(live.received)
        live.received = 0
      },
    }),
    activeUploads: gauge('fileloft_active_uploads', 'POST and PATCH requests with a body that are running now'),
    created: counter('fileloft_uploads_created_total', 'Uploads created: plain, partial (a piece) or final (joined)', [
      'type',
    ]),
    finished: counter('fileloft_uploads_finished_total', 'Uploads completed: plain or final; pieces do not count', [
      'type',
    ]),
    terminated: counter(
      'fileloft_uploads_terminated_total',
      'Uploads removed by DELETE, by a hook or with a failed POST',
    ),
    expired: counter('fileloft_uploads_expired_total', 'Uploads whose time was over when this server looked for such'),
    lockWaitSeconds: histogram(
      'fileloft_lock_wait_seconds',
      'Time that requests waited for an upload that another one worked on, and for the lock itself',
      waitBuckets,
    ),
    lockTimeouts: counter('fileloft_lock_timeouts_total', 'Requests that waited in vain and were answered 423'),
    lockEvictions: counter('fileloft_lock_evictions_total', 'Requests that were asked to give way to a newer one'),
    storageCalls: counter(
      'fileloft_storage_requests_total',
      'Object storage: calls by kind, each attempt, and how they ended: ok or error',
      ['kind', 'outcome'],
    ),
    storageRetries: counter('fileloft_storage_retries_total', 'Object storage: calls that were made again, by kind', [
      'kind',
    ]),
    storageSeconds: histogram(
      'fileloft_storage_request_duration_seconds',
      'Object storage: time of a call, each attempt, by kind; of a read until the last byte was taken',
      callBuckets,
      ['kind'],
    ),
    bufferBytes: gauge(
      'fileloft_buffer_used_bytes',
      'Object storage: memory for parts that is in use',
      () => live.memory.used,
    ),
    bufferBudget: gauge(
      'fileloft_buffer_budget_bytes',
      'Object storage: most memory for parts',
      () => live.memory.budget,
    ),
    deliveries: counter(
      'fileloft_hook_deliveries_total',
      'Webhooks and command hooks: attempts to deliver, by type of event and how they ended (ok, failed); dead: events given up',
      ['event', 'outcome'],
    ),
    deliverySeconds: histogram(
      'fileloft_hook_delivery_duration_seconds',
      'Webhooks and command hooks: time of an attempt to deliver, by type of event',
      callBuckets,
      ['event'],
    ),
    refusals: counter(
      'fileloft_quota_refusals_total',
      'Bodies refused or ended by a 429, by the limit that was reached',
      ['limit'],
    ),
  }
}

/** What this thread has counted so far. */
export async function countsOf({ registry }: Meters): Promise<Counts> {
  return registry.getMetricsAsJSON()
}
