import { StoreError, TusError } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, head, idOf, patch, stalled, tus } from './client.ts'
import { gate, withMethods } from './fakes.ts'
import { equal, expect, expectRefusal, ok, statusesOf, within, type Case, type Suite } from './support.ts'

export const suite: Suite = {
  name: 'termination',
  cases: [
    ...([0, 5, 10] as const).map((offset): Case => ({
      // Termination, DELETE: "the Server SHOULD free associated resources and MUST respond with the 204 No Content
      // status confirming that the upload was terminated. For all future requests to this URL, the Server SHOULD
      // respond with the 404 Not Found or 410 Gone status."
      title: `DELETE on an upload with ${offset} of 10 bytes: 204, then 404 to everything`,
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await createWith(server, bytesOf(offset), {}, 10)
        const response = await tus(server, 'DELETE', url)
        await expect(response, 204, { 'Upload-Offset': null })
        equal(await response.text(), '', 'body')
        await expect(await head(server, url), 404)
        await expect(await patch(server, url, offset, bytesOf(10 - offset)), 404)
        await expect(await server.fetch(url), 404)
        await expect(await tus(server, 'DELETE', url), 404)
        equal(await server.store.get(idOf(server, url)), null, 'record in the store')
      },
    })),
    {
      title: 'DELETE on one of two uploads: the other one stays',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await createWith(server, bytesOf(5))
        const other = await createWith(server, bytesOf(6))
        await expect(await tus(server, 'DELETE', one), 204)
        await expectBytes(server, other, bytesOf(6))
      },
    },
    {
      title: 'DELETE on an unknown upload: 404',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await tus(server, 'DELETE', `${server.url}/unknown`), 404)
      },
    },
    {
      title: 'DELETE, termination switched off: 405, the upload stays',
      async run(ctx) {
        const server = await ctx.serve({ extensions: { termination: false } })
        const url = await createWith(server, bytesOf(5))
        await expect(await tus(server, 'DELETE', url), 405, { Allow: /^(?!.*DELETE)/ })
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'DELETE: onTerminate is shown the upload and the request before it goes',
      async run(ctx) {
        const seen: string[] = []
        const inner = await ctx.store()
        const server = await ctx.serve({
          store: inner,
          onTerminate: async ({ upload, request }) => {
            const there = (await inner.get(upload.id)) !== null
            seen.push(`${upload.offset} ${request?.method} ${request?.headers.get('X-User')} ${there}`)
          },
        })
        const url = await createWith(server, bytesOf(5), {}, 10)
        await expect(await tus(server, 'DELETE', url, { 'X-User': 'ann' }), 204)
        equal(seen.join(), '5 DELETE ann true', 'calls of onTerminate')
      },
    },
    {
      title: 'DELETE on an unknown upload: onTerminate is not called',
      async run(ctx) {
        let calls = 0
        const server = await ctx.serve({ onTerminate: () => void calls++ })
        await expect(await tus(server, 'DELETE', `${server.url}/unknown`), 404)
        equal(calls, 0, 'calls of onTerminate')
      },
    },
    {
      title: 'DELETE, onTerminate refuses with a TusError: its status and message, the upload stays',
      async run(ctx) {
        const server = await ctx.serve({
          onTerminate: () => {
            throw new TusError('rejected', 'Keep it')
          },
        })
        const url = await createWith(server, bytesOf(5))
        await expectRefusal(await tus(server, 'DELETE', url), 403, /^Keep it\n?$/)
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'DELETE, onTerminate fails: 500 without details, the upload stays and is free',
      async run(ctx) {
        const server = await ctx.serve({
          lockTimeoutMs: 1000,
          onTerminate: () => {
            throw new Error('secret')
          },
        })
        const url = await createWith(server, bytesOf(5), {}, 10)
        await expectRefusal(await tus(server, 'DELETE', url), 500, /^Internal error\n?$/)
        await expect(await patch(server, url, 5, bytesOf(5)), 204)
      },
    },
    {
      title: 'DELETE, the store cannot remove: 503, then again: 204',
      async run(ctx) {
        const inner = await ctx.store()
        let fails = 1
        const store = withMethods(inner, {
          terminate: async (upload) => {
            if (fails-- > 0) throw new StoreError('unavailable', 'out')
            await inner.terminate(upload)
          },
        })
        const server = await ctx.serve({ store })
        const url = await createWith(server, bytesOf(5))
        await expect(await tus(server, 'DELETE', url), 503)
        await expectOffset(server, url, 5)
        await expect(await tus(server, 'DELETE', url), 204)
        await expect(await head(server, url), 404)
      },
    },
    {
      title: 'DELETE beside a PATCH that stands still: 204 within seconds, the PATCH stores nothing after',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const holder = await stalled(server, url, 0, bytesOf(50))
        await expect(await within(tus(server, 'DELETE', url), 'DELETE beside a stalled PATCH'), 204)
        await expect(await within(holder.response, 'the answer to the stalled PATCH'), 423)
        await expect(await head(server, url), 404)
        equal(await server.store.get(idOf(server, url)), null, 'record in the store')
      },
    },
    {
      title: 'two DELETEs at a time: one 204, one 404',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(5))
        const answers = await Promise.all([tus(server, 'DELETE', url), tus(server, 'DELETE', url)])
        equal(statusesOf(answers), '204,404', 'statuses')
      },
    },
    {
      title: 'PATCH that waits behind a DELETE: 404 and nothing comes back to life',
      async run(ctx) {
        const { opened, open } = gate()
        const entered = gate()
        const server = await ctx.serve({
          onTerminate: async () => {
            entered.open()
            await opened
          },
        })
        const url = await create(server, 5)
        const deleted = tus(server, 'DELETE', url)
        await entered.opened
        const patched = patch(server, url, 0, bytesOf(5))
        open()
        await expect(await deleted, 204)
        await expect(await patched, 404)
        ok((await server.store.get(idOf(server, url))) === null, 'the upload came back')
      },
    },
    {
      title: 'POST with the id of a terminated upload: a new, empty one',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'again' })
        const url = await createWith(server, bytesOf(50), { 'Upload-Metadata': 'a YQ==' })
        await expect(await tus(server, 'DELETE', url), 204)
        await createWith(server, bytesOf(3, 9), {}, 10)
        await expectOffset(server, url, 3, { 'Upload-Length': '10', 'Upload-Metadata': null })
        await expectBytes(server, url, bytesOf(3, 9))
      },
    },
  ],
}
