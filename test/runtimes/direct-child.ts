/** A server in one process with its client: prints what came of a long body. Without syntax that Node 22 does not know. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { giveBodyBlock } from '../../src/node/body-blocks.ts'
import { nodeListener } from '../../src/node/listener.ts'
import type { TusHandler } from '../../src/options.ts'
import type { Platform } from '../../src/platform.ts'

const length = 3 << 20
const body = Buffer.alloc(length)
for (let at = 0; at < length; at += 4) body.writeUInt32LE(at, at)

const bodies: string[] = []
const answer = async (_request: Request, platform: Platform = {}) => {
  let bytes = 0
  let direct = 0
  let isSame = true
  for await (const chunk of platform.body ?? []) {
    isSame &&= body.subarray(bytes, bytes + chunk.length).equals(chunk)
    bytes += chunk.length
    if (giveBodyBlock(chunk)) direct += chunk.length
  }
  bodies.push(`${bytes} bytes, ${isSame ? 'as sent' : 'others'}, ${direct > length / 2 ? 'direct' : 'parsed'}`)
  return new Response('done')
}
// The listener needs no more of a handler.
const server = createServer(nodeListener(answer as TusHandler, { directFrom: 64 * 1024 })).listen(0, '127.0.0.1')
await once(server, 'listening')
const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
// Twice on one connection: the parser goes on where the first body ends.
for (const turn of [1, 2]) {
  socket.write(`PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`)
  socket.write(body)
  while (bodies.length < turn) await once(socket, 'data')
}
socket.destroy()
server.close()
console.log(bodies.join('\n'))
