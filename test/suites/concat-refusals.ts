import { bytesOf } from './bodies.ts'
import { create, createWith, expire, incomplete, locationOf, patch, post } from './client.ts'
import { spied } from './fakes.ts'
import { equal, expect, expectRefusal, type Case, type Suite } from './support.ts'

const malformed = [
  '',
  'Partial',
  'partial;',
  'partial; /files/a',
  'whole',
  'final',
  'final;',
  'final; ',
  'final /files/a',
  'Final;/files/a',
  'final:/files/a',
]

/** Lists that name something outside of the mount, or no valid id. */
const outside = [
  '/other/a',
  '/filesx/a',
  '/files',
  '/files/',
  'http://example.test/',
  'http://',
  'http://[/files/a',
  '/files/../etc/passwd',
  '/files/a/../../../etc/passwd',
  '/files/%2e%2e/etc/passwd',
  '/files/%2e%2e%2fetc%2fpasswd',
  '/files/..%2f..%2fetc',
  '/files/%252e%252e%252fetc',
  '/files/%2561bc',
  '/files/..\\..\\etc',
  '/files/..%5c..%5cetc',
  '/files/%00',
  '/files/a%00.txt',
  '/files/%c0%ae%c0%ae/x',
  '/files/.hidden',
  '/files//etc/passwd',
  '/files/%2fetc%2fpasswd',
  '/files/%',
  '/files/%zz',
  `/files/${'a'.repeat(600)}`,
  'file:///etc/passwd',
  '//files/a',
  '../a',
]

export const suite: Suite = {
  name: 'concatenation refused',
  cases: [
    ...malformed.map((value): Case => ({
      // Concatenation, Upload-Concat: "If the upload is a partial one, the header value MUST be partial. In the case
      // of a final upload, its value MUST be final followed by a semicolon and a space-separated list".
      title: `POST with Upload-Concat "${value}": 400 that names it, nothing stored`,
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store })
        for (const headers of [{}, { 'Upload-Length': '5' }]) {
          await expectRefusal(await post(server, { 'Upload-Concat': value, ...headers }), 400, /Upload-(Concat|Length)/)
        }
        equal(calls.join(), '', 'calls to the store')
      },
    })),
    ...outside.map((url): Case => ({
      title: `POST of a final upload that names ${url.slice(0, 40)}: 400, store not asked for it`,
      async run(ctx) {
        const asked: string[] = []
        const inner = await ctx.store()
        const store = { ...inner, get: (id: string) => (asked.push(id), inner.get(id)) }
        const server = await ctx.serve({ store })
        const good = await createWith(server, bytesOf(3), { 'Upload-Concat': 'partial' })
        asked.length = 0
        await expect(await post(server, { 'Upload-Concat': `final;${url}` }), 400)
        await expect(await post(server, { 'Upload-Concat': `final;${good} ${url}` }), 400)
        const wrong = asked.filter((id) => id !== good.slice(server.url.length + 1))
        equal(wrong.join(), '', 'ids that the store was asked for')
      },
    })),
    {
      title: 'POST of a final upload that names an unknown upload: 400, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const good = await createWith(server, bytesOf(3), { 'Upload-Concat': 'partial' })
        const before = (await incomplete(server.store)).length
        await expect(await post(server, { 'Upload-Concat': `final;${good} /files/unknown` }), 400)
        equal((await incomplete(server.store)).length, before, 'uploads in the store')
      },
    },
    {
      title: 'POST of a final upload that names a plain upload: 400',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await post(server, { 'Upload-Concat': `final;${await createWith(server, bytesOf(3))}` }), 400)
      },
    },
    {
      title: 'POST of a final upload that names a final upload: 400',
      async run(ctx) {
        const server = await ctx.serve()
        const good = await createWith(server, bytesOf(3), { 'Upload-Concat': 'partial' })
        const final = await locationOf(server, await post(server, { 'Upload-Concat': `final;${good}` }))
        await expect(await post(server, { 'Upload-Concat': `final;${final}` }), 400)
      },
    },
    {
      title: 'POST of a final upload of an unfinished partial, concatenation-unfinished off: 400; finished: 201',
      async run(ctx) {
        const server = await ctx.serve({ extensions: { 'concatenation-unfinished': false } })
        const part = await createWith(server, bytesOf(3), { 'Upload-Concat': 'partial' }, 5)
        await expect(await post(server, { 'Upload-Concat': `final;${part}` }), 400)
        await expect(await patch(server, part, 3, bytesOf(2)), 204)
        await expect(await post(server, { 'Upload-Concat': `final;${part}` }), 201)
      },
    },
    {
      title: 'POST of a final upload of an expired partial: 400',
      async run(ctx) {
        const server = await ctx.serve({ expiration: { afterMs: 3_600_000 } })
        const part = await create(server, 5, { 'Upload-Concat': 'partial' })
        await expire(server, part)
        await expect(await post(server, { 'Upload-Concat': `final;${part}` }), 400)
      },
    },
    {
      title: 'POST of a partial upload without length: 400',
      async run(ctx) {
        const server = await ctx.serve()
        await expectRefusal(await post(server, { 'Upload-Concat': 'partial' }), 400, /Upload-Length/)
      },
    },
    {
      title: 'POST of a partial upload over maxSize: 413',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 4 })
        await expect(await post(server, { 'Upload-Concat': 'partial', 'Upload-Length': '5' }), 413)
      },
    },
  ],
}
