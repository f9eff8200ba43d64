import type { Extension } from '../../src/index.ts'
import { create, tus } from './client.ts'
import { spied, without } from './fakes.ts'
import { equal, expect, ok, type Case, type Context, type ServeOptions, type Server, type Suite } from './support.ts'

const switchable: readonly Extension[] = [
  'creation',
  'creation-with-upload',
  'creation-defer-length',
  'expiration',
  'checksum',
  'termination',
  'concatenation',
  'concatenation-unfinished',
]

const expiration = { afterMs: 60_000 }

export const suite: Suite = {
  name: 'OPTIONS: what the server tells of itself',
  cases: [
    {
      // Requests, OPTIONS: "A successful response indicated by the 204 No Content or 200 OK status MUST contain the
      // Tus-Version header."
      title: 'OPTIONS on the collection: 204 with Tus-Version and no body',
      async run(ctx) {
        const server = await ctx.serve()
        for (const target of [server.url, `${server.url}/`]) {
          const response = await server.fetch(target, { method: 'OPTIONS' })
          await expect(response, 204, { 'Tus-Version': '1.0.0' })
          equal(await response.text(), '', 'body')
        }
      },
    },
    {
      title: 'OPTIONS on an upload, known or not: 204, store not asked',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store })
        const url = await create(server, 5)
        calls.length = 0
        for (const target of [url, `${server.url}/unknown`]) {
          await expect(await server.fetch(target, { method: 'OPTIONS' }), 204, { 'Tus-Version': '1.0.0' })
        }
        equal(calls.join(), '', 'calls to the store')
      },
    },
    {
      // Requests, OPTIONS: "the Server MUST ignore the header" (Tus-Resumable).
      title: 'OPTIONS with another Tus-Resumable: 204 all the same',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await tus(server, 'OPTIONS', server.url, { 'Tus-Resumable': '0.2.2' }), 204)
      },
    },
    {
      title: 'OPTIONS beside the mount: 404',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await server.fetch('/elsewhere', { method: 'OPTIONS' }), 404)
      },
    },
    {
      title: 'OPTIONS, everything on: every extension, checksum-trailer only where trailers arrive',
      async run(ctx) {
        const server = await ctx.serve({ expiration })
        const wanted = [...switchable, ...(ctx.capabilities.trailers ? ['checksum-trailer'] : [])]
        equal((await advertised(server)).join(), wanted.toSorted().join(), 'Tus-Extension')
      },
    },
    {
      title: 'OPTIONS, everything on: Tus-Extension is what handler.extensions says',
      async run(ctx) {
        const server = await ctx.serve({ expiration })
        const told = (await advertised(server)).filter((name) => name !== 'checksum-trailer')
        const known = server.handler.extensions.filter((name) => name !== 'checksum-trailer')
        equal(told.join(), known.toSorted().join(), 'Tus-Extension')
      },
    },
    ...switchable.map((name): Case => ({
      title: `OPTIONS, ${name} switched off: not advertised`,
      async run(ctx) {
        const server = await ctx.serve({ expiration, extensions: { [name]: false } })
        const told = await advertised(server)
        ok(!told.includes(name), `Tus-Extension has ${told.join()}`)
        // Each of them means nothing without the extension it widens. Creation With Upload: "if the Server does not
        // offer the Creation extension, it MUST NOT offer the Creation With Upload extension either".
        for (const wider of told) ok(!wider.startsWith(`${name}-`), `Tus-Extension has ${wider} without ${name}`)
      },
    })),
    {
      title: 'OPTIONS, checksum-trailer switched off: checksum remains',
      async run(ctx) {
        const told = await advertised(await ctx.serve({ extensions: { 'checksum-trailer': false } }))
        ok(!told.includes('checksum-trailer') && told.includes('checksum'), `Tus-Extension has ${told.join()}`)
      },
    },
    {
      // Headers, Tus-Extension: "If no extensions are supported, the Tus-Extension header MUST be omitted."
      title: 'OPTIONS, every extension switched off: no Tus-Extension',
      async run(ctx) {
        const extensions = Object.fromEntries(switchable.map((name) => [name, false]))
        await expectOptions(ctx, { extensions }, { 'Tus-Extension': null, 'Tus-Checksum-Algorithm': null })
      },
    },
    {
      title: 'OPTIONS without an expiration option: expiration not advertised',
      async run(ctx) {
        const told = await advertised(await ctx.serve())
        ok(!told.includes('expiration'), `Tus-Extension has ${told.join()}`)
      },
    },
    {
      title: 'OPTIONS, a store that cannot concatenate: neither concatenation extension advertised',
      async run(ctx) {
        const store = without(await ctx.store(), 'concatenate')
        const told = await advertised(await ctx.serve({ store }))
        ok(!told.some((name) => name.startsWith('concatenation')), `Tus-Extension has ${told.join()}`)
      },
    },
    {
      title: 'OPTIONS, a store that does not remember finals: concatenation without concatenation-unfinished',
      async run(ctx) {
        const told = await advertised(await ctx.serve({ store: without(await ctx.store(), 'finalsOf') }))
        ok(
          told.includes('concatenation') && !told.includes('concatenation-unfinished'),
          `Tus-Extension has ${told.join()}`,
        )
      },
    },
    {
      // Headers, Tus-Max-Size: "The Server SHOULD set this header if there is a known hard limit."
      title: 'OPTIONS, maxSize a number: Tus-Max-Size tells it',
      run: (ctx) => expectOptions(ctx, { maxSize: 1_073_741_824 }, { 'Tus-Max-Size': '1073741824' }),
    },
    {
      title: 'OPTIONS, no maxSize: no Tus-Max-Size',
      run: (ctx) => expectOptions(ctx, {}, { 'Tus-Max-Size': null }),
    },
    {
      title: 'OPTIONS, maxSize 0: no Tus-Max-Size',
      run: (ctx) => expectOptions(ctx, { maxSize: 0 }, { 'Tus-Max-Size': null }),
    },
    {
      title: 'OPTIONS, maxSize a function: no Tus-Max-Size',
      run: (ctx) => expectOptions(ctx, { maxSize: () => 5 }, { 'Tus-Max-Size': null }),
    },
    {
      // Checksum: "The Tus-Checksum-Algorithm header MUST be included in the response to an OPTIONS request."
      title: 'OPTIONS: Tus-Checksum-Algorithm lists all six',
      run: (ctx) => expectOptions(ctx, {}, { 'Tus-Checksum-Algorithm': 'sha1,md5,sha256,sha384,sha512,crc32' }),
    },
    {
      title: 'OPTIONS, checksum switched off: no Tus-Checksum-Algorithm',
      run: (ctx) => expectOptions(ctx, { extensions: { checksum: false } }, { 'Tus-Checksum-Algorithm': null }),
    },
  ],
}

async function advertised(server: Server): Promise<string[]> {
  const response = await expect(await server.fetch(server.url, { method: 'OPTIONS' }), 204)
  const value = response.headers.get('Tus-Extension')
  return value === null ? [] : value.split(',').toSorted()
}

async function expectOptions(
  ctx: Context,
  options: ServeOptions,
  headers: Record<string, string | null>,
): Promise<void> {
  const server = await ctx.serve(options)
  await expect(await server.fetch(server.url, { method: 'OPTIONS' }), 204, { 'Tus-Version': '1.0.0', ...headers })
}
