/** Node's own server and frameworks on top of it, the handler mounted as the examples do. */
import { once } from 'node:events'
import { createServer, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import { tus } from '../../src/hono.ts'
import { toNodeListener } from '../../src/node/index.ts'
import { lambdaServer } from './lambda.ts'
import type { Listen } from './transport.ts'

export const listeners: Readonly<Record<'http' | 'express' | 'fastify' | 'hono' | 'lambda', Listen>> = {
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

  async fastify(handler) {
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

  async hono(handler) {
    const app = new Hono()
    app.all('/*', tus(handler))
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    if (!(server instanceof Server)) throw new Error('not the server of HTTP/1.1')
    server.requestTimeout = 0
    if (!server.listening) await once(server, 'listening')
    return running(server)
  },

  async lambda(handler) {
    const server = await lambdaServer(handler)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    // TLS ends before the function, which believes in it.
    return { ...running(server), scheme: 'https' }
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
