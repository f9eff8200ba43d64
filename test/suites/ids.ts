import { bytesOf } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, head, octets, post, recordOf, tus } from './client.ts'
import { spied } from './fakes.ts'
import { equal, expect, ok, type Case, type Suite } from './support.ts'

/** What may stand behind the mount and is no id, as it goes over the wire. */
const malformed = [
  '..',
  '../secret',
  '../../etc/passwd',
  '%2e%2e',
  '%2E%2E/secret',
  '.%2e/secret',
  '%2e%2e%2fsecret',
  '..%2fsecret',
  '..%2f..%2f..%2fetc%2fpasswd',
  '%252e%252e%252fsecret',
  '..%252f..%252fetc',
  '..%5c..%5csecret',
  '..\\..\\secret',
  'a%5cb',
  '%00',
  'a%00b',
  'a%00.info',
  '%c0%ae%c0%ae',
  '%c0%ae%c0%ae%c0%afetc',
  '%e0%80%ae%e0%80%ae',
  '%ff',
  '%ed%a0%80',
  '%',
  '%2',
  '%zz',
  'a%',
  '.hidden',
  'a/.hidden',
  '.info',
  'a//b',
  '//etc/passwd',
  '/a',
  'a/',
  '%2f',
  '%2fetc%2fpasswd',
  'a%2fb',
  'a%0ab',
  'a%0d%0aX:%20y',
  'a%09b',
  '%7f',
  '%20a',
  'a%20',
  'a:b',
  'C:%5cwindows',
  'a%2a',
  'a%22',
  'a%3cb%3e',
  'a%7cb',
  'a%3fb',
  'a%23b',
  'a%25b',
  '%2561bc',
  'a%2520b',
  'e%cc%81',
  'a'.repeat(600),
  `${'a/'.repeat(300)}a`,
]

const badIds = [
  '',
  '../x',
  '/a',
  'a/',
  'a//b',
  '.x',
  'a/..',
  'a\0',
  'a\\b',
  'a\nb',
  'a'.repeat(600),
  'e\u0301',
  '\ud800',
]

export const suite: Suite = {
  name: 'ids',
  cases: [
    ...malformed.map((path): Case => ({
      title: `every method on /files/${path.slice(0, 40)}: 404, store not asked`,
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store, downloads: true })
        for (const method of ['HEAD', 'GET', 'DELETE', 'PATCH']) {
          const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Offset': '0', 'Content-Type': octets }
          const body = method === 'PATCH' ? { body: bytesOf(1) } : {}
          await expect(await server.fetchRaw(`/files/${path}`, { method, headers, ...body }), 404)
        }
        equal(calls.join(), '', 'calls to the store')
      },
    })),
    {
      title: 'requests on the names of a store’s own files beside an upload: 404, the upload is untouched',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true, generateId: () => 'mine' })
        const url = await createWith(server, bytesOf(5), {}, 10)
        for (const suffix of ['.info', '.json', '.lock', '.part', '.tmp', '.bin']) {
          for (const method of ['HEAD', 'GET', 'DELETE', 'PATCH']) {
            const headers = { 'Upload-Offset': '0', 'Content-Type': octets }
            const body = method === 'PATCH' ? { body: bytesOf(5) } : {}
            await expect(await tus(server, method, url + suffix, headers, body), 404)
          }
        }
        await expectOffset(server, url, 5)
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'POST with the id of a store’s own file beside an upload: made apart or refused, the upload is untouched',
      async run(ctx) {
        let id = 'mine'
        const server = await ctx.serve({ generateId: () => id })
        const url = await createWith(server, bytesOf(5), {}, 10)
        for (const suffix of ['.info', '.lock', '.part', '.tmp']) {
          id = `mine${suffix}`
          const response = await expect(await post(server, { 'Upload-Length': '5' }), [201, 400, 409, 500])
          if (response.status === 201) {
            await expect(await tus(server, 'DELETE', url + suffix), 204)
          }
          await expectOffset(server, url, 5, { 'Upload-Length': '10' })
        }
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'POST with the ids a and a/b: both stand, or one is refused and the other is untouched',
      async run(ctx) {
        for (const order of [
          ['a', 'a/b'],
          ['a/b', 'a'],
        ]) {
          let id = order[0] ?? ''
          const server = await ctx.serve({ generateId: () => id })
          const first = await createWith(server, bytesOf(5), {}, 10)
          id = order[1] ?? ''
          const response = await expect(await post(server, { 'Upload-Length': '7' }), [201, 400, 409, 500, 503])
          await expectOffset(server, first, 5, { 'Upload-Length': '10' })
          await expectBytes(server, first, bytesOf(5))
          if (response.status === 201) await expectOffset(server, `${server.url}/${id}`, 0, { 'Upload-Length': '7' })
        }
      },
    },
    {
      title: 'POST with ids that differ in case: two uploads, or the second is refused',
      async run(ctx) {
        let id = 'Name'
        const server = await ctx.serve({ generateId: () => id })
        const first = await createWith(server, bytesOf(5), {}, 10)
        id = 'name'
        await expect(await post(server, { 'Upload-Length': '7' }), [201, 409])
        await expectOffset(server, first, 5, { 'Upload-Length': '10' })
      },
    },
    {
      title: 'POST, generateId: given request and upload, awaited, its id in Location and store',
      async run(ctx) {
        const server = await ctx.serve({
          generateId: async (request, upload) =>
            await Promise.resolve(`${request.headers.get('X-User')}/${upload.length}-${upload.metadata}.txt`),
        })
        const url = await create(server, 12, { 'X-User': 'ann', 'Upload-Metadata': 'draft' })
        equal(url, `${server.url}/ann/12-draft.txt`, 'address')
        equal((await recordOf(server, url)).id, 'ann/12-draft.txt', 'id in the record')
        await expectOffset(server, url, 0, { 'Upload-Length': '12' })
        await expect(await head(server, `${server.url}/ann`), 404)
        await expect(await head(server, `${server.url}/ann/`), 404)
      },
    },
    ...badIds.map((id): Case => ({
      title: `POST, generateId answers ${JSON.stringify(id.slice(0, 20))}: 500, nothing stored, onError hears of it`,
      async run(ctx) {
        const errors: unknown[] = []
        const { store, calls } = spied(await ctx.store())
        const onError = (error: unknown): void => void errors.push(error)
        const server = await ctx.serve({ store, generateId: () => id, onError })
        await expect(await post(server, { 'Upload-Length': '5' }), 500, { Location: null })
        ok(!calls.includes('create'), `calls to the store: ${calls.join()}`)
        equal(errors.length, 1, 'failures that onError heard of')
      },
    })),
    {
      title: 'POST, generateId throws: 500 without details',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => Promise.reject(new Error('secret')) })
        const response = await expect(await post(server, { 'Upload-Length': '5' }), 500)
        equal((await response.text()).trim(), 'Internal error', 'body')
      },
    },
    {
      title: 'HEAD with an id encoded more than needed: the same upload',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'abc' })
        await createWith(server, bytesOf(2), {}, 5)
        for (const path of ['/files/%61bc', '/files/%61%62%63', '/files/./abc', '/files/x/../abc']) {
          await expect(
            await server.fetchRaw(path, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }),
            [200, 404],
          )
        }
        const encoded = await head(server, `${server.url}/%61bc`)
        await expect(encoded, 200, { 'Upload-Offset': '2' })
      },
    },
    {
      title: 'HEAD with an unknown id of every valid kind: 404',
      async run(ctx) {
        const server = await ctx.serve()
        for (const path of ['a', 'A.b', 'a/b/c', '%C3%BC', 'a%20b', '~a', 'toString', '__proto__', 'constructor']) {
          await expect(await head(server, `${server.url}/${path}`), 404)
        }
      },
    },
  ],
}
