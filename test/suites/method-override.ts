import { bytesOf, text } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, head, octets, patch, tus } from './client.ts'
import { equal, expect, type Case, type Suite } from './support.ts'

const name = 'X-HTTP-Method-Override'

export const suite: Suite = {
  name: 'X-HTTP-Method-Override',
  cases: [
    // Headers, X-HTTP-Method-Override: "MUST be interpreted as the request's method by the Server, if the header is
    // presented. The actual method of the request MUST be ignored."
    ...['PATCH', 'patch', ' Patch '].map((method): Case => ({
      title: `POST on an upload with override "${method}": as PATCH`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const headers = { [name]: method, 'Upload-Offset': '0', 'Content-Type': octets }
        const response = await tus(server, 'POST', url, headers, { body: text('hello') })
        await expect(response, 204, { 'Upload-Offset': '5' })
        await expectBytes(server, url, text('hello'))
      },
    })),
    {
      title: 'POST on an upload with override DELETE: as DELETE',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expect(await tus(server, 'POST', url, { [name]: 'DELETE' }), 204)
        await expect(await head(server, url), 404)
      },
    },
    {
      title: 'POST on an upload with override HEAD: offset and length, no body',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(3), {}, 5)
        const response = await tus(server, 'POST', url, { [name]: 'HEAD' })
        await expect(response, [200, 204], { 'Upload-Offset': '3', 'Upload-Length': '5' })
        equal(await response.text(), '', 'body')
      },
    },
    {
      title: 'POST on the collection with override OPTIONS: what the server can do, Tus-Resumable not needed',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await server.fetch(server.url, { method: 'POST', headers: { [name]: 'OPTIONS' } })
        await expect(response, 204, { 'Tus-Version': '1.0.0', 'Tus-Extension': /creation/ })
      },
    },
    {
      title: 'POST on an upload with override GET, downloads on: the bytes',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await createWith(server, text('hello'))
        const response = await server.fetch(url, { method: 'POST', headers: { [name]: 'GET' } })
        equal(await (await expect(response, 200)).text(), 'hello', 'body')
      },
    },
    {
      title: 'POST on the collection with override POST: as POST',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await tus(server, 'POST', server.url, { [name]: 'POST', 'Upload-Length': '5' }), 201)
      },
    },
    ...['PUT', 'FOO', '', 'PATCH,DELETE', '__proto__', 'constructor'].map((method): Case => ({
      title: `POST with override "${method}": 405 on collection and upload, nothing changed`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const headers = { [name]: method, 'Upload-Length': '5', 'Upload-Offset': '0' }
        await expect(await tus(server, 'POST', server.url, headers), 405, { Allow: 'OPTIONS, POST' })
        await expect(await tus(server, 'POST', url, headers), 405)
        await expectOffset(server, url, 0)
      },
    })),
    {
      title: 'POST on the collection with override PATCH: 405, nothing created',
      async run(ctx) {
        const server = await ctx.serve()
        const headers = { [name]: 'PATCH', 'Upload-Length': '5', 'Upload-Offset': '0', 'Content-Type': octets }
        await expect(await tus(server, 'POST', server.url, headers), 405)
      },
    },
    {
      title: 'POST with override PATCH and without Tus-Resumable: 412',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const headers = { [name]: 'PATCH', 'Upload-Offset': '0', 'Content-Type': octets }
        await expect(await server.fetch(url, { method: 'POST', headers, body: bytesOf(5) }), 412)
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'POST with override DELETE, termination switched off: 405, the upload stays',
      async run(ctx) {
        const server = await ctx.serve({ extensions: { termination: false } })
        const url = await create(server, 5)
        await expect(await tus(server, 'POST', url, { [name]: 'DELETE' }), 405)
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'PATCH, HEAD and GET with override DELETE: it counts on POST only, the upload stays',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await create(server, 5)
        await expect(await patch(server, url, 0, text('hello'), { [name]: 'DELETE' }), 204, { 'Upload-Offset': '5' })
        await expect(await head(server, url, { [name]: 'DELETE' }), 200, { 'Upload-Offset': '5' })
        await expect(await server.fetch(url, { headers: { [name]: 'DELETE' } }), 200)
        await expectBytes(server, url, text('hello'))
      },
    },
  ],
}
