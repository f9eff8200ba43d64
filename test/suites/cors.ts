import { StoreError, type CorsOptions, type TusHandlerOptions } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, createWith, head, patch, post, tus } from './client.ts'
import { withMethods } from './fakes.ts'
import { equal, expect, ok, type Case, type Context, type Server, type Suite } from './support.ts'

const app = 'https://app.example.com'

/** Headers that a page must be able to read for tus to work. */
const exposed = [
  'Location',
  'Tus-Version',
  'Tus-Resumable',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Checksum-Algorithm',
  'Upload-Offset',
  'Upload-Length',
  'Upload-Defer-Length',
  'Upload-Metadata',
  'Upload-Concat',
  'Upload-Expires',
]

/** Headers that a page must be able to send. */
const sendable = [
  'Content-Type',
  'Tus-Resumable',
  'Upload-Offset',
  'Upload-Length',
  'Upload-Defer-Length',
  'Upload-Metadata',
  'Upload-Concat',
  'Upload-Checksum',
  'X-HTTP-Method-Override',
]

const accepted: readonly [string, CorsOptions['allowOrigin'], string][] = [
  ['an exact origin', app, app],
  ['one of several', ['https://other.example.com', app], app],
  ['a regular expression', /^https:\/\/[a-z]+\.example\.com$/, app],
  ['a function', (origin) => origin.endsWith('.example.com'), app],
  ['a list of all kinds', ['https://x.test', /^https:\/\/y/, (origin) => origin === app], app],
]

const refused: readonly [string, CorsOptions['allowOrigin'], string][] = [
  ['another origin', app, 'https://other.example.com'],
  ['an origin that goes on', app, `${app}.evil.test`],
  ['another scheme', app, 'http://app.example.com'],
  ['another port', app, `${app}:8443`],
  ['the origin null', app, 'null'],
  ['one that the function does not want', () => false, app],
  ['anything where the list is empty', [], app],
]

export const suite: Suite = {
  name: 'CORS',
  cases: [
    {
      title: 'any request with Origin, defaults: * and every tus header readable',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await post(server, { 'Upload-Length': '5', Origin: app })
        await expect(response, 201, { 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Credentials': null })
        includes(response, 'Access-Control-Expose-Headers', exposed)
      },
    },
    {
      title: 'preflight, defaults: 204 with methods, headers and a day to remember it',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        for (const target of [server.url, `${server.url}/abc`]) {
          const response = await preflight(server, app, target)
          await expect(response, 204, { 'Access-Control-Allow-Origin': '*', 'Access-Control-Max-Age': '86400' })
          includes(response, 'Access-Control-Allow-Methods', ['POST', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS', 'GET'])
          includes(response, 'Access-Control-Allow-Headers', sendable)
        }
      },
    },
    {
      title: 'OPTIONS without Access-Control-Request-Method: no preflight headers',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await server.fetch(server.url, { method: 'OPTIONS', headers: { Origin: app } })
        await expect(response, 204, { 'Access-Control-Allow-Methods': null, 'Access-Control-Max-Age': null })
      },
    },
    {
      title: 'preflight, more headers and another time given: allowed, readable, remembered',
      async run(ctx) {
        const cors = { allowHeaders: ['X-Token', 'X-Trace'], exposeHeaders: ['X-Cost'], maxAgeSeconds: 7 }
        const server = await ctx.serve({ cors })
        const response = await expect(await preflight(server), 204, { 'Access-Control-Max-Age': '7' })
        includes(response, 'Access-Control-Allow-Headers', ['X-Token', 'X-Trace', ...sendable])
        const created = await post(server, { 'Upload-Length': '5', Origin: app })
        includes(created, 'Access-Control-Expose-Headers', ['X-Cost', ...exposed])
      },
    },
    ...accepted.map(([what, allowOrigin, origin]): Case => ({
      title: `Origin that is ${what}: named itself, Vary: Origin`,
      async run(ctx) {
        const server = await serveCors(ctx, { allowOrigin })
        const wanted = { 'Access-Control-Allow-Origin': origin, Vary: /\bOrigin\b/i }
        await expect(await post(server, { 'Upload-Length': '5', Origin: origin }), 201, wanted)
        await expect(await preflight(server, origin), 204, { ...wanted, 'Access-Control-Allow-Methods': /PATCH/ })
      },
    })),
    ...refused.map(([what, allowOrigin, origin]): Case => ({
      title: `Origin that is ${what}: no CORS header but Vary: Origin, answered all the same`,
      async run(ctx) {
        const server = await serveCors(ctx, { allowOrigin })
        const created = await post(server, { 'Upload-Length': '5', Origin: origin })
        await expect(created, 201, { Vary: /\bOrigin\b/i })
        expectNoCors(created)
        const asked = await preflight(server, origin)
        await expect(asked, 204, { Vary: /\bOrigin\b/i })
        expectNoCors(asked)
      },
    })),
    {
      title: 'requests without Origin, origins named: Vary: Origin, so that caches keep them apart',
      async run(ctx) {
        const server = await serveCors(ctx, { allowOrigin: app })
        const response = await expect(await post(server, { 'Upload-Length': '5' }), 201, { Vary: /\bOrigin\b/i })
        equal(response.headers.get('Access-Control-Allow-Origin'), null, 'Access-Control-Allow-Origin')
      },
    },
    {
      title: 'Origin against a regular expression with the flag g: the same answer every time',
      async run(ctx) {
        const server = await serveCors(ctx, { allowOrigin: /example\.com$/g })
        for (let i = 0; i < 4; i++) {
          const response = await post(server, { 'Upload-Length': '5', Origin: app })
          await expect(response, 201, { 'Access-Control-Allow-Origin': app })
        }
      },
    },
    {
      title: 'Origin given to a function: with the request',
      async run(ctx) {
        const allowOrigin = (origin: string, request: Request): boolean =>
          origin === app && request.headers.get('X-Tenant') === 'a'
        const server = await serveCors(ctx, { allowOrigin })
        const yes = await post(server, { 'Upload-Length': '5', Origin: app, 'X-Tenant': 'a' })
        await expect(yes, 201, { 'Access-Control-Allow-Origin': app })
        expectNoCors(await post(server, { 'Upload-Length': '5', Origin: app, 'X-Tenant': 'b' }))
      },
    },
    {
      title: 'credentials: the origin itself and never *, on preflights and answers',
      async run(ctx) {
        const server = await serveCors(ctx, { allowOrigin: [app], allowCredentials: true })
        const wanted = { 'Access-Control-Allow-Origin': app, 'Access-Control-Allow-Credentials': 'true' }
        await expect(await preflight(server), 204, wanted)
        const created = await post(server, { 'Upload-Length': '5', Origin: app })
        await expect(created, 201, wanted)
        expectNoCors(await post(server, { 'Upload-Length': '5', Origin: 'https://evil.test' }))
        for (const name of ['Access-Control-Expose-Headers', 'Access-Control-Allow-Headers']) {
          ok(created.headers.get(name) !== '*', `${name} is *, which means nothing with credentials`)
        }
      },
    },
    ...['*', ['https://x.test', '*'], undefined].map((allowOrigin): Case => ({
      title: `credentials with allowOrigin ${JSON.stringify(allowOrigin) ?? 'left out'}: TypeError when made`,
      async run(ctx) {
        const cors: CorsOptions = { allowCredentials: true, ...(allowOrigin === undefined ? {} : { allowOrigin }) }
        const error = await ctx.serve({ cors }).then(
          () => null,
          (reason: unknown) => reason,
        )
        ok(error instanceof TypeError, `no TypeError but ${String(error)}`)
      },
    })),
    {
      title: 'errors of every kind: CORS headers as well',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 100, downloads: true })
        const url = await createWith(server, bytesOf(5))
        const answers: [number, Promise<Response>][] = [
          [400, post(server, { Origin: app })],
          [404, head(server, `${server.url}/unknown`, { Origin: app })],
          [404, tus(server, 'GET', '/elsewhere', { Origin: app })],
          [405, tus(server, 'PUT', url, { Origin: app })],
          [409, patch(server, url, 3, bytesOf(1), { Origin: app })],
          [412, server.fetch(server.url, { method: 'POST', headers: { Origin: app } })],
          [413, post(server, { 'Upload-Length': '101', Origin: app })],
          [415, patch(server, url, 5, bytesOf(1), { Origin: app, 'Content-Type': 'text/plain' })],
          [416, server.fetch(url, { headers: { Origin: app, Range: 'bytes=5-' } })],
        ]
        for (const [status, answer] of answers) {
          const response = await expect(await answer, status, { 'Access-Control-Allow-Origin': '*' })
          includes(response, 'Access-Control-Expose-Headers', exposed)
        }
      },
    },
    {
      title: 'failures of the store: CORS headers as well',
      async run(ctx) {
        const get = (): Promise<never> => Promise.reject(new StoreError('unavailable', 'out'))
        const server = await ctx.serve({ store: withMethods(await ctx.store(), { get }) })
        const response = await head(server, `${server.url}/abc`, { Origin: app })
        await expect(response, 503, { 'Access-Control-Allow-Origin': '*' })
      },
    },
    {
      title: 'GET, 200, 206 and 304: CORS headers as well',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true, cors: { allowOrigin: app } })
        const url = await createWith(server, bytesOf(5))
        const wanted = { 'Access-Control-Allow-Origin': app, Vary: /\bOrigin\b/i }
        await expect(await server.fetch(url, { headers: { Origin: app } }), 200, wanted)
        await expect(await server.fetch(url, { headers: { Origin: app, Range: 'bytes=0-1' } }), 206, wanted)
        await expect(await server.fetch(url, { headers: { Origin: app, 'If-None-Match': '*' } }), 304, wanted)
      },
    },
    {
      title: 'any request, cors false: no CORS header and no Vary, preflights too',
      async run(ctx) {
        const server = await ctx.serve({ cors: false, downloads: true })
        const url = await create(server, 5)
        const answers = [
          await preflight(server),
          await post(server, { 'Upload-Length': '5', Origin: app }),
          await post(server, { Origin: app }),
          await head(server, url, { Origin: app }),
          await server.fetch(await createWith(server, bytesOf(5)), { headers: { Origin: app } }),
        ]
        for (const answer of answers) {
          expectNoCors(answer)
          ok(!/origin/i.test(answer.headers.get('Vary') ?? ''), `Vary: ${answer.headers.get('Vary')}`)
        }
      },
    },
    {
      title: 'Origin against a function that throws: answered, without CORS headers',
      async run(ctx) {
        const allowOrigin = (): boolean => {
          throw new Error('lookup failed')
        }
        const server = await serveCors(ctx, { allowOrigin })
        const response = await post(server, { 'Upload-Length': '5', Origin: app })
        await expect(response, [201, 500])
        equal(response.headers.get('Access-Control-Allow-Origin'), null, 'Access-Control-Allow-Origin')
      },
    },
  ],
}

async function serveCors(
  ctx: Context,
  cors: { [K in keyof CorsOptions]?: CorsOptions[K] | undefined },
): Promise<Server> {
  return await ctx.serve({ cors: cors as NonNullable<TusHandlerOptions['cors']> })
}

async function preflight(server: Server, origin = app, target = server.url): Promise<Response> {
  const headers = {
    Origin: origin,
    'Access-Control-Request-Method': 'PATCH',
    'Access-Control-Request-Headers': 'tus-resumable,upload-offset',
  }
  return await server.fetch(target, { method: 'OPTIONS', headers })
}

function includes(response: Response, name: string, wanted: readonly string[]): void {
  const got = (response.headers.get(name) ?? '').toLowerCase().split(/\s*,\s*/)
  const missing = wanted.filter((each) => !got.includes(each.toLowerCase()))
  ok(missing.length === 0, `${name} lacks ${missing.join(', ')}: ${got.join(', ')}`)
}

function expectNoCors(response: Response): void {
  const names = [...response.headers.keys()].filter((name) => name.startsWith('access-control-'))
  equal(names.join(), '', 'CORS headers')
}
