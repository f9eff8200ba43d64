/** `onRequest` and `onAccess`: who may do what, and what the other hooks learn of who asked. */
import { TusError } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, expectBytes, head, idOf, octets, patch, post, stalled, tus } from './client.ts'
import { refuse, spied } from './fakes.ts'
import { equal, expect, expectRefusal, type Case, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'hook access',
  cases: [
    {
      title: 'every method: onRequest hears of operation, id and headers before the store does',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const seen: string[] = []
        const server = await ctx.serve({
          store,
          downloads: true,
          onRequest({ operation, uploadId, request }) {
            seen.push(`${operation} ${uploadId} ${request.headers.get('X-User')} ${calls.length}`)
          },
        })
        const url = `${server.url}/abc`
        const headers = { 'X-User': 'ann' }
        const asked: string[] = []
        const ask = async (expected: string, request: () => Promise<Response>) => {
          calls.length = 0
          asked.push(expected)
          await request()
        }
        await ask('options null', () => server.fetch(server.url, { method: 'OPTIONS', headers }))
        await ask('create null', () => post(server, { 'Upload-Length': '5', ...headers }))
        await ask('concatenate null', () => post(server, { 'Upload-Concat': 'final;/files/x', ...headers }))
        await ask('inspect abc', () => head(server, url, headers))
        await ask('append abc', () => patch(server, url, 0, bytes, headers))
        await ask('append abc', () => tus(server, 'POST', url, { 'X-HTTP-Method-Override': 'PATCH', ...headers }))
        await ask('terminate abc', () => tus(server, 'DELETE', url, headers))
        await ask('download abc', () => server.fetch(url, { headers }))
        // Without Tus-Resumable it asks about the file.
        await ask('download abc', () => server.fetch(url, { method: 'HEAD', headers }))
        equal(seen.join('\n'), asked.map((expected) => `${expected} ann 0`).join('\n'), 'calls of onRequest')
      },
    },
    {
      title: 'onRequest refuses: status, headers and body of the TusError, the store is not asked',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({
          store,
          onRequest() {
            const headers = { 'WWW-Authenticate': 'Bearer', 'Content-Type': 'text/plain;v=1' }
            throw new TusError('rejected', 'unused', { status: 401, headers, body: 'sign in' })
          },
        })
        for (const request of [
          post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes),
          patch(server, `${server.url}/abc`, 0, bytes),
          tus(server, 'DELETE', `${server.url}/abc`),
        ]) {
          const answer = await expect(await request, 401, { 'WWW-Authenticate': 'Bearer', 'Content-Type': /v=1$/ })
          equal(await answer.text(), 'sign in', 'body')
        }
        await expect(await head(server, `${server.url}/abc`), 401)
        equal(calls.join(), '', 'calls to the store')
      },
    },
    {
      title: 'onRequest refuses everything: preflights pass, 404 and 405 are told first, refusals have CORS headers',
      async run(ctx) {
        const server = await ctx.serve({ onRequest: () => refuse('rejected', 401) })
        const preflight = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' }
        const origin = { 'Access-Control-Allow-Origin': '*' }
        await expect(await server.fetch(server.url, { method: 'OPTIONS', headers: preflight }), 204, origin)
        await expect(await server.fetch(server.url, { method: 'OPTIONS', headers: {} }), 401)
        await expect(await tus(server, 'DELETE', server.url), 405)
        await expect(await tus(server, 'HEAD', `${server.url}/..%2fx`), 404)
        await expect(await post(server, { Origin: 'https://app.example' }), 401, origin)
      },
    },
    {
      title: 'onRequest throws anything else: 500 without details',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({
          onRequest: () => Promise.reject(new Error('secret')),
          onError: (error) => void errors.push(error),
        })
        await expectRefusal(await post(server, { 'Upload-Length': '1' }), 500, /^Internal error\n?$/)
        equal(errors.length, 1, 'failures that onError heard of')
      },
    },
    {
      title: 'what onRequest returns is the context of all other hooks of the request',
      async run(ctx) {
        const seen: string[] = []
        const note = (name: string) => (event: { context: unknown }) =>
          void seen.push(`${name} ${String(event.context)}`)
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onRequest: async ({ request }) => await Promise.resolve(request.headers.get('X-User')),
          onAccess: note('access'),
          onCreate: note('create'),
          onCreated: note('created'),
          onProgress: note('progress'),
          onFinish: note('finish'),
          onFinished: note('finished'),
          onTerminate: note('terminate'),
          onTerminated: note('terminated'),
        })
        const url = await create(server, 10, { 'X-User': 'ann' })
        await expect(await patch(server, url, 0, bytes, { 'X-User': 'bob' }), 204)
        await expect(await tus(server, 'DELETE', url, { 'X-User': 'eve' }), 204)
        const once = seen.filter((each, i) => each !== seen[i - 1])
        equal(
          once.join(),
          'create ann,created ann,access bob,progress bob,finish bob,finished bob,access eve,terminate eve,terminated eve',
          'calls',
        )
      },
    },
    ...(['not_found', 'rejected'] as const).map((code): Case => ({
      title: `onAccess refuses with ${code}: every method is answered so and nothing is changed or disturbed`,
      async run(ctx) {
        const server = await ctx.serve({
          downloads: true,
          onAccess({ request, upload }) {
            if (request.headers.get('X-User') !== upload.attributes['owner']) refuse(code)
          },
          onCreate: ({ request }) => ({ attributes: { owner: request.headers.get('X-User') ?? '' } }),
        })
        const ann = { 'X-User': 'ann' }
        const eve = { 'X-User': 'eve' }
        const status = code === 'not_found' ? 404 : 403
        const done = await create(server, 5, { ...ann, 'Upload-Concat': 'partial' })
        await expect(await patch(server, done, 0, bytes.subarray(0, 5), ann), 204)
        const url = await create(server, 10, ann)
        const running = await stalled(server, url, 0, bytes.subarray(0, 5), ann)

        for (const target of [url, done]) {
          await expect(await head(server, target, eve), status)
          await expect(await patch(server, target, 5, bytes.subarray(5), eve), status)
          await expect(await tus(server, 'DELETE', target, eve), status)
          await expect(await server.fetch(target, { headers: eve }), status)
        }
        // As for one that does not exist, where it is hidden.
        const final = await post(server, { 'Upload-Concat': `final;${done}`, ...eve })
        if (code === 'rejected') await expect(final, 403)
        else await expectRefusal(final, 400, new RegExp(`names ${idOf(server, done)}, which is not an upload here`))

        running.write(bytes.subarray(5))
        running.end()
        await expect(await running.response, 204, { 'Upload-Offset': '10' })
        await expectBytes(server, url, bytes)
        await expect(await server.fetch(url, { headers: ann }), 200)
      },
    })),
  ],
}
