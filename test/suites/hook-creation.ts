/** `onCreate`: what an application changes and refuses before there is an upload. */
import { base64, bytesOf } from './bodies.ts'
import { createWith, expectBytes, expectOffset, locationOf, octets, patch, post, recordOf } from './client.ts'
import { spied } from './fakes.ts'
import { equal, expect, expectRefusal, ok, type Case, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'hook onCreate',
  cases: [
    {
      title: 'POST, onCreate changes id, metadata and attributes: stored so, attributes told to nobody',
      async run(ctx) {
        const server = await ctx.serve({
          onCreate: ({ upload }) => ({
            id: `tenant/${upload.id}`,
            metadata: { filename: 'grüße.txt', empty: '' },
            attributes: { owner: 'ann' },
          }),
        })
        const response = await post(server, { 'Upload-Length': '10', 'Upload-Metadata': 'filename eA==' })
        const url = await locationOf(server, response)
        ok(/\/files\/tenant\/[0-9a-f]{32}$/.test(url), `Location is ${url}`)
        const told = await expectOffset(server, url, 0, {
          'Upload-Metadata': `filename ${base64('grüße.txt')},empty`,
        })
        await expect(await patch(server, url, 0, bytes), 204)
        equal((await recordOf(server, url)).attributes['owner'], 'ann', 'attribute in the record')
        for (const [name, value] of [...response.headers, ...told.headers]) {
          ok(!value.includes('ann') && !name.includes('attribute'), `${name}: ${value}`)
        }
        await expectBytes(server, url, bytes)
      },
    },
    ...(
      [
        ['an id that leaves the store', { id: '../x' }],
        ['a key that is no metadata key', { metadata: { 'a b': 'x' } }],
        ['an attribute that is no text', { attributes: { a: 1 } as unknown as Record<string, string> }],
        ['a status of a failure', { reply: { status: 404 } }],
        ['a header that cannot be sent', { reply: { headers: { 'X-A': 'a\r\nb' } } }],
      ] as const
    ).map(([what, creation]): Case => ({
      title: `POST, onCreate returns ${what}: 500, nothing stored`,
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const errors: unknown[] = []
        const onError = (error: unknown) => void errors.push(error)
        const server = await ctx.serve({ store, onError, onCreate: () => creation })
        await expectRefusal(await post(server, { 'Upload-Length': '10' }), 500, /^Internal error\n?$/)
        equal(calls.join(), '', 'calls to the store')
        ok(errors.length === 1 && errors[0] instanceof TypeError, 'onError did not hear of a TypeError')
      },
    })),
    {
      title: 'POST, onCreate returns an id that is taken: 409, the first upload stays',
      async run(ctx) {
        const server = await ctx.serve({ onCreate: () => ({ id: 'mine' }) })
        const url = await createWith(server, bytes)
        await expect(await post(server, { 'Upload-Length': '5' }), 409)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'POST, a limit that depends on what onCreate changes: enforced on the change',
      async run(ctx) {
        const server = await ctx.serve({
          maxSize: (_, { id }) => (id === 'small' ? 5 : 100),
          onCreate: () => ({ id: 'small' }),
        })
        await expect(await post(server, { 'Upload-Length': '6' }), 413)
        await expect(await post(server, { 'Upload-Length': '5' }), 201)
      },
    },
    {
      title: 'POST of deferred length with more bytes than an upload may have: 413, onCreate is not asked',
      async run(ctx) {
        let asked = 0
        const server = await ctx.serve({ maxSize: 5, onCreate: () => void asked++ })
        const headers = { 'Upload-Defer-Length': '1', 'Content-Type': octets }
        await expect(await post(server, headers, bytes), 413)
        equal(asked, 0, 'calls of onCreate')
      },
    },
  ],
}
