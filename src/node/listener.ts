import type { TusHandler } from '../options.ts'
import { closeUnlessComplete } from './linger.ts'
import { type Incoming, nodePlatform, type Outgoing, type PlatformOptions } from './platform.ts'
import { toRequest } from './request.ts'
import { writeResponse } from './response.ts'
import { cutWhenStuck } from './stuck.ts'

/**
 * The handler as a request listener for Node's own servers (`node:http`, `node:https`, `node:http2`) and for
 * frameworks on top of them. It needs nothing but Node, and bodies reach the store without a web stream in between.
 *
 * @example
 * import { createServer } from 'node:http'
 * createServer({ requestTimeout: 0 }, toNodeListener(handler)).listen(8080)
 *
 * @example
 * express().use('/files', toNodeListener(handler))   // before any body parser
 *
 * @example
 * fastify.addContentTypeParser('application/offset+octet-stream', (request, body, done) => done(null))
 * fastify.all('/files*', (request, reply) => {
 *   reply.hijack()
 *   listener(request.raw, reply.raw)
 * })
 */
export function toNodeListener(handler: TusHandler): (incoming: Incoming, outgoing: Outgoing) => void {
  return nodeListener(handler, {})
}

/** The same, for a server that is known. */
export function nodeListener(
  handler: TusHandler,
  options: PlatformOptions,
): (incoming: Incoming, outgoing: Outgoing) => void {
  return (incoming, outgoing) => {
    // A rejection is impossible: `respond` catches everything.
    void respond(handler, options, incoming, outgoing)
  }
}

async function respond(
  handler: TusHandler,
  options: PlatformOptions,
  incoming: Incoming,
  outgoing: Outgoing,
): Promise<void> {
  try {
    const request = toRequest(incoming)
    const response =
      request === null
        ? new Response('The request cannot be understood\n', { status: 400 })
        : await handler(request, nodePlatform(incoming, outgoing, options))
    closeUnlessComplete(incoming, outgoing)
    cutWhenStuck(incoming, outgoing)
    await writeResponse(response, outgoing, incoming.method === 'HEAD')
  } catch {
    // The handler answers its own failures; what is left is an answer that broke off, and the client must see that.
    outgoing.destroy()
  }
}
