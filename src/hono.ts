import type { Context, Handler } from 'hono'
import { closeUnlessComplete } from './node/linger.ts'
import { type Incoming, nodePlatform, type Outgoing } from './node/platform.ts'
import { cutWhenStuck } from './node/stuck.ts'
import type { TusHandler } from './options.ts'

/**
 * The handler as a Hono handler, on every runtime that Hono runs on. On Node (`@hono/node-server`) bodies come from
 * Node's own stream, which is several times cheaper than a web stream.
 *
 * @example
 * const app = new Hono()
 * app.all('/files/*', tus(createTusHandler({ path: '/files', store })))
 */
export function tus(handler: TusHandler): Handler {
  return async (c) => {
    const node = nodeBindings(c)
    if (node === null) return handler(c.req.raw)
    const { incoming, outgoing } = node
    const response = await handler(c.req.raw, nodePlatform(incoming, outgoing))
    closeUnlessComplete(incoming, outgoing)
    cutWhenStuck(incoming, outgoing)
    return response
  }
}

/** What `@hono/node-server` puts beside the request; told by its shape, for this file runs where Node is not. */
function nodeBindings({ env }: Context): NodeBindings | null {
  return isNodeEnv(env) ? env : null
}

interface NodeBindings {
  readonly incoming: Incoming
  readonly outgoing: Outgoing
}

function isNodeEnv(env: unknown): env is NodeBindings {
  return isObject(env) && hasMethod(env['incoming'], 'pause') && hasMethod(env['outgoing'], 'writeHead')
}

function hasMethod(value: unknown, name: string): boolean {
  return isObject(value) && typeof value[name] === 'function'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
