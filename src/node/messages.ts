import type { SecureContextOptions } from 'node:tls'
import type { MessagePort, Worker } from 'node:worker_threads'
import type { Address } from './address.ts'
import type { Config } from './config.ts'

/** What a worker thread is started with. */
export interface ThreadStart {
  readonly config: Config
  /** Its end of what all threads do as one: for `joinShared`. */
  readonly shared: MessagePort
}

/** What the main thread tells a worker. */
export type Order =
  /** Port included. Answered by `listening`. */
  | { readonly type: 'listen'; readonly address: Address }
  | { readonly type: 'tls'; readonly tls: SecureContextOptions }
  /** Answered by `closed`. */
  | { readonly type: 'close' }

/** What a worker tells the main thread. */
export type Report =
  /** Waits for the order to listen. */
  | { readonly type: 'ready' }
  | { readonly type: 'listening' }
  /** Lines for the log of the process. */
  | { readonly type: 'log'; readonly lines: Uint8Array }
  /** `isDone` is what `close` of its server came to. */
  | { readonly type: 'closed'; readonly isDone: boolean }

export function sendOrder(worker: Worker, order: Order): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port knows no origins
  worker.postMessage(order)
}

export function sendReport(port: MessagePort, report: Report): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port knows no origins
  port.postMessage(report)
}
