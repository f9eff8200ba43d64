/** What a worker thread runs: the server on the port that it shares, told by the main thread what to do. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Address } from './address.ts'
import { lineBatches } from './line-batches.ts'
import { createLoggers } from './loggers.ts'
import { type Order, sendReport, type ThreadStart } from './messages.ts'
import { startServer } from './server.ts'
import { joinShared } from './shared.ts'

if (parentPort === null) throw new TypeError('this file is for worker threads')
const port = parentPort
const { config, shared: sharedPort } = workerData as ThreadStart

const lines = lineBatches((batch) => sendReport(port, { type: 'log', lines: batch }))
const address = Promise.withResolvers<Address>()
port.on('message', (order: Order) => {
  switch (order.type) {
    case 'listen':
      address.resolve(order.address)
      break
    case 'tls':
      server.setTls(order.tls)
      break
    case 'close':
      void server.close().then((isDone) => {
        lines.flush()
        sendReport(port, { type: 'closed', isDone })
      })
      break
  }
})
// What it throws ends the thread, and the main thread with it.
const server = await startServer(config, createLoggers(config.log, lines), {
  shared: joinShared(sharedPort),
  sharedAddress() {
    sendReport(port, { type: 'ready' })
    return address.promise
  },
})
sendReport(port, { type: 'listening' })
