import { Hono } from 'hono'
import type { TusHandler } from '../options.ts'
import type { Platform } from '../platform.ts'
import type { Store } from '../store.ts'
import type { Logs } from './logger.ts'

export interface AppEnv {
  readonly Bindings: { readonly platform: Platform }
}

/** The server's routes. @param isClosing Whether a shutdown has begun: load balancers are to look elsewhere. */
export function createApp(
  handler: TusHandler,
  store: Store,
  mount: string,
  logs: Logs,
  isClosing: () => boolean,
): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', async (c) => {
    if (isClosing()) return c.text('shutting down\n', 503)
    try {
      await store.check?.()
      return c.text('ok\n')
    } catch (error) {
      logs.server.error({ err: error }, 'the store is not ready')
      return c.text('the store is not ready\n', 503)
    }
  })
  app.all(`${mount}/*`, (c) => handler(c.req.raw, c.env.platform))
  app.notFound((c) => c.text('Not found\n', 404))
  app.onError((error, c) => {
    logs.server.error({ err: error }, 'request failed')
    return c.text('Internal error\n', 500)
  })
  return app
}
