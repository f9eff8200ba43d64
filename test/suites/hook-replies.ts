/** What hooks add to answers. */
import { bytesOf } from './bodies.ts'
import { create, expectOffset, idOf, octets, patch, post, recordOf } from './client.ts'
import { equal, expect, ok, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'hook replies',
  cases: [
    {
      title: 'POST with all bytes: replies of onCreate and onFinish are added up, the protocol’s headers stay',
      async run(ctx) {
        const server = await ctx.serve({
          onCreate: () => ({ reply: { headers: { 'X-A': '1', 'X-B': '1', location: '/elsewhere' } } }),
          onFinish: () => ({ status: 200, headers: { 'X-B': '2', 'Content-Type': 'text/plain' }, body: 'done' }),
        })
        const answer = await post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes)
        await expect(answer, 200, { 'X-A': '1', 'X-B': '2', 'Upload-Offset': '10', Location: /\/files\// })
        equal(await answer.text(), 'done', 'body')
      },
    },
    {
      title: 'PATCH with the last bytes, onFinish replies with a body: 200 with it; the next HEAD without',
      async run(ctx) {
        const server = await ctx.serve({
          onFinish: ({ upload }) => ({ headers: { 'Content-Type': 'text/plain', 'X-Url': '/u' }, body: upload.id }),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204, { 'X-Url': null })
        const answer = await expect(await patch(server, url, 5, bytes.subarray(5)), 200, { 'X-Url': '/u' })
        equal(await answer.text(), idOf(server, url), 'body')
        await expectOffset(server, url, 10, { 'X-Url': null })
      },
    },
    {
      title: 'HEAD that runs a failed onFinish again: its headers, no body, the same event id',
      async run(ctx) {
        const ids: string[] = []
        const server = await ctx.serve({
          onFinish({ eventId }) {
            ids.push(eventId)
            if (ids.length === 1) throw new Error('out')
            return { headers: { 'X-Url': '/u' }, body: 'done' }
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        await expectOffset(server, url, 10, { 'X-Url': '/u' })
        equal(ids.length, 2, 'calls of onFinish')
        equal(ids[0], ids[1], 'event ids')
      },
    },
    {
      title: 'PATCH, onFinish replies with what is no success: 500, and not completed',
      async run(ctx) {
        const server = await ctx.serve({ onFinish: () => ({ status: 204, body: 'text' }) })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        equal((await recordOf(server, url)).completed, false, 'completed in the record')
      },
    },
    {
      title: 'PATCH that completes the last partial of a waiting final: the final’s reply is not for it',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          onFinish({ upload, request }) {
            seen.push(`${upload.concat?.type} ${request?.method}`)
            return { status: 200, headers: { 'X-Final': '1' }, body: 'done' }
          },
        })
        const one = await create(server, 10, { 'Upload-Concat': 'partial' })
        await expect(await post(server, { 'Upload-Concat': `final;${one}` }), 201, { 'X-Final': null })
        await expect(await patch(server, one, 0, bytes), 204, { 'X-Final': null })
        equal(seen.join(), 'final PATCH', 'calls of onFinish')
      },
    },
    {
      title: 'POST with all bytes, replies that are valid alone but not together: refused before it is completed',
      async run(ctx) {
        const server = await ctx.serve({
          generateId: () => 'mine',
          onCreate: () => ({ reply: { body: 'x' } }),
          onFinish: () => ({ status: 204 }),
        })
        await expect(await post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes), 500)
        ok((await server.store.get('mine'))?.completed !== true, 'it was completed')
      },
    },
    {
      title: 'PATCH, onFinish fails and then replies with a redirect: HEAD answers 200 with its headers, not 302',
      async run(ctx) {
        let calls = 0
        const server = await ctx.serve({
          onFinish() {
            if (++calls === 1) throw new Error('out')
            return { status: 302, headers: { Location: '/done' }, body: 'done' }
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        await expectOffset(server, url, 10, { Location: '/done' })
        equal(calls, 2, 'calls of onFinish')
      },
    },
    {
      title: 'a reply with headers of the protocol: they stay as they are',
      async run(ctx) {
        const headers = { 'tus-resumable': '9', 'Content-Length': '3', 'cache-control': 'public', 'Upload-Offset': '1' }
        const server = await ctx.serve({ onFinish: () => ({ headers: { ...headers, 'X-A': '1' } }) })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204, {
          'Tus-Resumable': '1.0.0',
          'Cache-Control': 'no-store',
          'Content-Length': null,
          'Upload-Offset': '10',
          'X-A': '1',
        })
      },
    },
  ],
}
