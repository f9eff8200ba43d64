import { StoreError } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, createWith, expectOffset, head, longest, tus } from './client.ts'
import { withMethods } from './fakes.ts'
import { equal, expect, ok, type Suite } from './support.ts'

export const suite: Suite = {
  name: 'HEAD',
  cases: [
    {
      // Requests, HEAD: "The Server MUST always include the Upload-Offset header in the response for a HEAD request,
      // even if the offset is 0".
      title: 'HEAD on a new upload: 200, offset 0 and the length, not to be cached',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        await expectOffset(server, url, 0, { 'Upload-Length': '100', 'Cache-Control': 'no-store' })
      },
    },
    {
      title: 'HEAD on a half-filled upload: the offset so far',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(70), {}, 100)
        await expectOffset(server, url, 70, { 'Upload-Length': '100' })
      },
    },
    {
      // "... or the upload is already considered completed."
      title: 'HEAD on a completed upload: offset equals length, again and again',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(100))
        for (let i = 0; i < 3; i++) await expectOffset(server, url, 100, { 'Upload-Length': '100' })
      },
    },
    {
      title: 'HEAD on a plain upload: none of the headers that do not apply',
      async run(ctx) {
        const server = await ctx.serve()
        await expectOffset(server, await create(server, 1), 0, {
          'Upload-Defer-Length': null,
          'Upload-Metadata': null,
          'Upload-Concat': null,
          'Upload-Expires': null,
          'Tus-Version': null,
          Location: null,
        })
      },
    },
    {
      title: 'HEAD: no body',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await head(server, await createWith(server, bytesOf(10)))
        equal(await response.text(), '', 'body')
      },
    },
    {
      // "If the resource is not found, the Server SHOULD return either the 404 Not Found, 410 Gone or 403 Forbidden
      // status without the Upload-Offset header."
      title: 'HEAD on an unknown upload: 404 without Upload-Offset',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await head(server, `${server.url}/0123456789abcdef0123456789abcdef`)
        await expect(response, 404, { 'Upload-Offset': null, 'Upload-Length': null })
      },
    },
    {
      title: 'HEAD on the largest length there is: told exactly',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, longest(server))
        await expectOffset(server, url, 0, { 'Upload-Length': String(longest(server)) })
      },
    },
    {
      title: 'HEAD on two uploads: each its own offset',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await createWith(server, bytesOf(3), {}, 10)
        const other = await createWith(server, bytesOf(7), {}, 10)
        ok(one !== other, 'two uploads, one address')
        await expectOffset(server, one, 3)
        await expectOffset(server, other, 7)
      },
    },
    {
      title: 'HEAD by a second handler on the same store: what the first one stored',
      async run(ctx) {
        const first = await ctx.serve()
        const url = await createWith(first, bytesOf(33), { 'Upload-Metadata': 'a YQ==' }, 50)
        await first.handler.close()
        const second = await ctx.serve({ store: first.store })
        const moved = second.url + url.slice(first.url.length)
        await expectOffset(second, moved, 33, { 'Upload-Length': '50', 'Upload-Metadata': 'a YQ==' })
      },
    },
    {
      title: 'HEAD while the storage is out: 503 and never 404, then 200 again',
      async run(ctx) {
        const inner = await ctx.store()
        let out = false
        const get = inner.get.bind(inner)
        const store = withMethods(inner, {
          get: async (id) => {
            if (out) throw new StoreError('unavailable', 'connection refused')
            return await get(id)
          },
        })
        const server = await ctx.serve({ store })
        const url = await createWith(server, bytesOf(5), {}, 10)
        out = true
        await expect(await head(server, url), 503, { 'Upload-Offset': null })
        out = false
        await expectOffset(server, url, 5)
      },
    },
    {
      title: 'HEAD with the headers of other methods: they change nothing',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(5), {}, 10)
        const headers = { 'Upload-Offset': '9', 'Upload-Length': '3', Range: 'bytes=0-1', 'Upload-Checksum': 'x' }
        await expect(await tus(server, 'HEAD', url, headers), 200, { 'Upload-Offset': '5', 'Upload-Length': '10' })
      },
    },
  ],
}
