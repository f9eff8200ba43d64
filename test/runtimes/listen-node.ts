/** Node's own server and frameworks on top of it, the handler mounted as the examples do. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import type { TusHandler } from '../../src/index.ts'
import { toNodeListener } from '../../src/node/index.ts'
import type { Listen } from './transport.ts'

export const listeners: Readonly<Record<'http' | 'express' | 'fastify', Listen>> = {
  async http(handler) {
    const server = createServer({ requestTimeout: 0 }, toNodeListener(handler))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return running(server)
  },

  async express(handler) {
    const app = express()
    app.use(toNodeListener(handler))
    const server = app.listen(0, '127.0.0.1')
    server.requestTimeout = 0
    await once(server, 'listening')
    return running(server)
  },

  async fastify(handler: TusHandler) {
    const listener = toNodeListener(handler)
    const app = fastify({ requestTimeout: 0 })
    const onRequest = (request: FastifyRequest, reply: FastifyReply) => {
      reply.hijack()
      listener(request.raw, reply.raw)
    }
    app.all('/*', { onRequest }, () => {})
    await app.listen({ port: 0, host: '127.0.0.1' })
    return running(app.server)
  },
}

function running(server: Server): Awaited<ReturnType<Listen>> {
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
