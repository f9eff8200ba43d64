/** Takes webhooks and agrees to everything: what a server's own side of them costs. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

let url: Promise<string> | undefined

/** Where it listens, in this process, which has nothing else to do while a server is measured. */
export function receiverUrl(): Promise<string> {
  return (url ??= start())
}

async function start(): Promise<string> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // It shall not keep a benchmark that is over.
  server.unref()
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`
}
