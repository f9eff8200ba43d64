/** What a worker thread runs: the server on the port that it shares, told by the main thread what to do. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Address } from './address.ts'
import { lineBatches } from './line-batches.ts'
import { createLoggers } from './loggers.ts'
import { type Order, sendReport, type ThreadStart } from './messages.ts'
import { type RunningServer, startServer } from './server.ts'
import { joinShared } from './shared.ts'

if (parentPort === null) throw new TypeError('this file is for worker threads')
const port = parentPort
const { config, shared: sharedPort } = workerData as ThreadStart

const lines = lineBatches((batch) => sendReport(port, { type: 'log', lines: batch }))
// What it dies of is told by others; what it had to tell before goes ahead.
process.on('uncaughtExceptionMonitor', () => lines.flush())

/** Resolves when it listens. What it throws ends the thread, and the main thread with it. */
export const listening: Promise<void> = serve()

async function serve(): Promise<void> {
  const address = Promise.withResolvers<Address>()
  const starting = startServer(config, createLoggers(config.log, lines), {
    shared: joinShared(sharedPort),
    sharedAddress() {
      sendReport(port, { type: 'ready' })
      return address.promise
    },
  })
  port.on('message', (order: Order) => {
    switch (order.type) {
      case 'listen':
        address.resolve(order.address)
        break
      case 'tls':
        void starting.then((server) => server.setTls(order.tls))
        break
      case 'close':
        void starting.then(close)
        break
    }
  })
  await starting
  sendReport(port, { type: 'listening' })
}

async function close(server: RunningServer): Promise<void> {
  const isDone = await server.close()
  lines.flush()
  sendReport(port, { type: 'closed', isDone })
}
