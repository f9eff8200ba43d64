import { Hono } from 'hono'
import type { TusHandler } from '../options.ts'
import type { Platform } from '../platform.ts'
import type { Store } from '../store.ts'
import type { AppEnv } from './app-env.ts'
import { exchangeOf, nameAnswer } from './exchange.ts'
import type { Feature } from './features.ts'
import type { Loggers } from './loggers.ts'

/** Answers what the server is asked. */
export type App = (request: Request, platform: Platform) => Response | Promise<Response>

interface AppOptions {
  readonly store: Store
  readonly mount: string
  readonly logs: Loggers
  readonly features: readonly Feature[]
  /** Whether a shutdown has begun: load balancers are to look elsewhere. */
  readonly isClosing: () => boolean
}

/** The server's routes. */
export function createApp(handler: TusHandler, { store, mount, logs, features, isClosing }: AppOptions): App {
  const app = new Hono<AppEnv>()
  for (const { routes } of features) routes?.(app)
  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', async (c) => {
    if (isClosing()) return c.text('shutting down\n', 503)
    try {
      await store.check?.()
      return c.text('ok\n')
    } catch (error) {
      logs.server.error({ requestId: exchangeOf(c.req.raw)?.id, err: error }, 'the store is not ready')
      return c.text('the store is not ready\n', 503)
    }
  })
  app.all(`${mount}/*`, (c) => handler(c.req.raw, c.env.platform))
  app.notFound((c) => c.text('Not found\n', 404))
  app.onError((error, c) => {
    logs.server.error({ requestId: exchangeOf(c.req.raw)?.id, err: error }, 'request failed')
    return c.text('Internal error\n', 500)
  })
  return (request, platform) => {
    // Hono passes on what it is given, but makes another response of a HEAD's and copies all headers twice.
    if (isBelow(mount, request.url)) return handler(request, platform)
    const exchange = exchangeOf(request)
    if (exchange !== undefined) nameAnswer(exchange)
    return app.fetch(request, { platform })
  }
}

/** Whether only the handler can be meant. A request's URL has no dot segments left. */
function isBelow(mount: string, url: string): boolean {
  return mount !== '' && url.startsWith(`${mount}/`, url.indexOf('/', url.indexOf('://') + 3))
}
