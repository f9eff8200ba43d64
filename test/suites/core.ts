import { bytesOf } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, octets, patch, post, tus } from './client.ts'
import { spied } from './fakes.ts'
import { equal, expect, expectLength, ok, type Case, type Suite } from './support.ts'

const methods = ['POST', 'HEAD', 'PATCH', 'DELETE'] as const

export const suite: Suite = {
  name: 'core: versions, methods, paths',
  cases: [
    // Headers, Tus-Resumable: "it MUST respond with the 412 Precondition Failed status and MUST include the
    // Tus-Version header into the response. In addition, the Server MUST NOT process the request."
    ...methods.flatMap((method): Case[] =>
      [undefined, '0.2.2'].map((version) => ({
        title: `${method} with Tus-Resumable ${version ?? 'missing'}: 412 with Tus-Version, not processed`,
        async run(ctx) {
          const { store, calls } = spied(await ctx.store())
          const server = await ctx.serve({ store })
          const bytes = bytesOf(10)
          const url = await createWith(server, bytes.subarray(0, 4), {}, 10)
          calls.length = 0
          const headers = { 'Upload-Length': '10', 'Upload-Offset': '4', 'Content-Type': octets }
          const response = await server.fetch(method === 'POST' ? server.url : url, {
            method,
            headers: version === undefined ? headers : { ...headers, 'Tus-Resumable': version },
            ...(method === 'PATCH' ? { body: bytes.subarray(4) } : {}),
          })
          await expect(response, 412, { 'Tus-Version': '1.0.0' })
          equal(calls.join(), '', 'calls to the store')
          await expectBytes(server, url, bytes.subarray(0, 4))
        },
      })),
    ),
    ...['1.0.1', '1.0', '1.0.0, 1.0.0', '1.0.0,0.2.2', 'x'].map((version): Case => ({
      title: `HEAD with Tus-Resumable ${version}: 412`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expect(await tus(server, 'HEAD', url, { 'Tus-Resumable': version }), 412, { 'Tus-Version': '1.0.0' })
      },
    })),
    ...['HEAD', 'PATCH', 'DELETE', 'GET', 'PUT'].map((method): Case => ({
      title: `${method} on the collection: 405 with its methods in Allow`,
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        for (const slash of ['', '/']) {
          await expect(await tus(server, method, server.url + slash), 405, { Allow: 'OPTIONS, POST' })
        }
      },
    })),
    {
      title: 'POST on the collection, creation switched off: 405 with Allow of OPTIONS alone, nothing stored',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store, extensions: { creation: false } })
        await expect(await post(server, { 'Upload-Length': '5' }), 405, { Allow: 'OPTIONS' })
        equal(calls.join(), '', 'calls to the store')
      },
    },
    {
      title: 'POST and PUT on an upload: 405 with HEAD, PATCH and DELETE in Allow',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        for (const method of ['POST', 'PUT']) {
          const response = await expect(await tus(server, method, url, { 'Upload-Length': '5' }), 405)
          equal(allowed(response), 'DELETE HEAD OPTIONS PATCH', 'Allow')
        }
      },
    },
    {
      title: 'PUT on an upload, downloads on and termination off: 405 with GET and without DELETE in Allow',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true, extensions: { termination: false } })
        const response = await expect(await tus(server, 'PUT', await create(server, 5)), 405)
        equal(allowed(response), 'GET HEAD OPTIONS PATCH', 'Allow')
      },
    },
    {
      title: 'GET on an upload, downloads off: 405',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await tus(server, 'GET', await createWith(server, bytesOf(5))), 405, { Allow: /^(?!.*GET)/ })
      },
    },
    {
      title: 'any method beside the mount: 404, store not asked',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store, path: '/api/files' })
        for (const path of ['/', '/api', '/api/filesx', '/files', '/api/filesx/abc', '/API/files', '/other/abc']) {
          for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE']) {
            await expect(await tus(server, method, path, { 'Upload-Length': '1', 'Upload-Offset': '0' }), 404)
          }
        }
        equal(calls.join(), '', 'calls to the store')
      },
    },
    ...['/files', '/files/', '/a/b/files', '/'].map((path): Case => ({
      title: `mounted at ${path}: uploads are created and filled with and without a trailing slash`,
      async run(ctx) {
        const server = await ctx.serve({ path })
        const bytes = bytesOf(64)
        for (const target of [server.url === server.origin ? `${server.url}/` : server.url, `${server.url}/`]) {
          const response = await tus(server, 'POST', target, { 'Upload-Length': '64' })
          const location = (await expect(response, 201)).headers.get('Location') ?? ''
          ok(location.startsWith(`${server.url}/`), `Location ${location} is not below ${server.url}/`)
          ok(!location.slice(server.origin.length).includes('//'), `Location ${location} has an empty segment`)
          await expect(await patch(server, location, 0, bytes), 204)
          await expectBytes(server, location, bytes)
        }
      },
    })),
    {
      title: 'POST, HEAD and PATCH with a query: as without it',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(5)
        const response = await tus(server, 'POST', `${server.url}?token=a/b`, { 'Upload-Length': '5' })
        const location = (await expect(response, 201)).headers.get('Location') ?? ''
        ok(!location.includes('?'), `Location ${location} repeats the query`)
        await expect(await patch(server, `${location}?x=1&y=%2F`, 0, bytes), 204)
        await expectOffset(server, `${location}?x`, 5)
      },
    },
    {
      title: 'HEAD and GET without Tus-Resumable, downloads on: answered as downloads',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await createWith(server, bytesOf(5))
        for (const method of ['HEAD', 'GET']) {
          const response = await expect(await server.fetch(url, { method }), 200, { 'Accept-Ranges': 'bytes' })
          expectLength(ctx, response, 5)
        }
      },
    },
    {
      title: 'PATCH and DELETE without Tus-Resumable, downloads on: 412 still',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await create(server, 5)
        const headers = { 'Upload-Offset': '0', 'Content-Type': octets }
        await expect(await server.fetch(url, { method: 'PATCH', headers, body: bytesOf(5) }), 412)
        await expect(await server.fetch(url, { method: 'DELETE' }), 412)
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'errors: one line of text/plain',
      async run(ctx) {
        const server = await ctx.serve()
        for (const response of [
          await post(server, {}),
          await tus(server, 'GET', server.url),
          await patch(server, `${server.url}/unknown`, 0),
          await patch(server, await create(server, 5), 3, bytesOf(1)),
        ]) {
          await expect(response, [400, 404, 405, 409], { 'Content-Type': /^text\/plain/ })
          const body = await response.text()
          ok(/^[^\r\n]+\n?$/.test(body), `the body is not one line: ${JSON.stringify(body)}`)
        }
      },
    },
  ],
}

function allowed(response: Response): string {
  const names = (response.headers.get('Allow') ?? '').split(',').map((name) => name.trim())
  return names.toSorted().join(' ')
}
