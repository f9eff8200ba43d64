import { base64, bytesOf } from './bodies.ts'
import { create, createWith, expectOffset, tus } from './client.ts'
import { gate, without, withMethods } from './fakes.ts'
import {
  equal,
  equalBytes,
  expect,
  expectLength,
  ok,
  until,
  within,
  type Case,
  type Context,
  type Suite,
} from './support.ts'

const bytes = bytesOf(1000)

export const suite: Suite = {
  name: 'downloads',
  cases: [
    {
      title: 'GET on a completed upload: 200 with all bytes, length, validators and Accept-Ranges',
      async run(ctx) {
        const { response } = await get(ctx)
        await expect(response, 200, {
          'Content-Type': 'application/octet-stream',
          'Accept-Ranges': 'bytes',
          'Content-Range': null,
          ETag: /^"[^"]+"$/,
          'Last-Modified': /GMT$/,
          'Content-Disposition': /^attachment/,
        })
        expectLength(ctx, response, 1000)
        equalBytes(new Uint8Array(await response.arrayBuffer()), bytes, 'body')
      },
    },
    {
      title: 'GET on 3 MiB: byte for byte',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const big = bytesOf(3 * 1024 * 1024 + 1)
        const response = await expect(await server.fetch(await createWith(server, big)), 200)
        equalBytes(new Uint8Array(await response.arrayBuffer()), big, 'body')
      },
    },
    {
      title: 'HEAD without Tus-Resumable: the headers of GET, no body',
      async run(ctx) {
        const { server, url, response } = await get(ctx)
        const head = await server.fetch(url, { method: 'HEAD' })
        await expect(head, 200)
        expectLength(ctx, head, 1000)
        for (const name of ['Content-Type', 'ETag', 'Last-Modified', 'Accept-Ranges']) {
          equal(head.headers.get(name), response.headers.get(name), `${name} of HEAD`)
        }
        equal(await head.text(), '', 'body')
      },
    },
    {
      title: 'HEAD with Tus-Resumable: the answer of tus',
      async run(ctx) {
        const { server, url } = await get(ctx)
        await expectOffset(server, url, 1000, { 'Upload-Length': '1000', 'Cache-Control': 'no-store' })
      },
    },
    {
      title: 'GET on an empty upload: 200 without bytes',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const response = await expect(await server.fetch(await create(server, 0)), 200)
        expectLength(ctx, response, 0)
        equal(await response.text(), '', 'body')
      },
    },
    {
      title: 'GET on an incomplete upload: 404 that says so, and its bytes are not served',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await createWith(server, bytes, {}, 2000)
        const response = await expect(await server.fetch(url), 404, { ETag: null, 'Content-Type': /^text\/plain/ })
        ok(/complete/.test(await response.text()), 'the text does not say that it is not complete')
        await expect(await server.fetch(url, { headers: { Range: 'bytes=0-1' } }), 404)
        await expect(await server.fetch(url, { method: 'HEAD' }), 404)
      },
    },
    {
      title: 'GET on an unknown upload and on a malformed id: 404',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        await expect(await server.fetch(`${server.url}/unknown`), 404)
        await expect(await server.fetch(`${server.url}/.x`), 404)
      },
    },
    {
      title: 'GET, a store that cannot read: 405',
      async run(ctx) {
        const inner = await ctx.store()
        const filled = await ctx.serve({ store: inner })
        const url = await createWith(filled, bytes)
        const started = (): Promise<Response> =>
          ctx
            .serve({ store: without(inner, 'read'), downloads: true })
            .then((server) => server.fetch(server.url + url.slice(filled.url.length)))
        const answer = await started().catch((error: unknown) => error)
        if (answer instanceof Response) await expect(answer, 405)
        else ok(answer instanceof TypeError, `neither 405 nor a TypeError when made: ${String(answer)}`)
      },
    },
    {
      title: 'GET while a DELETE waits in its callback: served at once, downloads take no lock',
      async run(ctx) {
        const entered = gate()
        const held = gate()
        const onTerminate = async (): Promise<void> => {
          entered.open()
          await held.opened
        }
        const server = await ctx.serve({ downloads: true, onTerminate })
        const url = await createWith(server, bytes)
        const deletion = tus(server, 'DELETE', url)
        await entered.opened
        const response = await within(server.fetch(url), 'GET beside a DELETE', 2000)
        await expect(response, 200)
        equalBytes(new Uint8Array(await response.arrayBuffer()), bytes, 'body')
        held.open()
        await expect(await deletion, 204)
      },
    },
    {
      title: 'GET that is given up half-way: the store stops reading',
      async run(ctx) {
        const inner = await ctx.store()
        let stopped = false
        const store = withMethods(inner, {
          async *read() {
            try {
              for (;;) yield await Promise.resolve(bytesOf(65_536))
            } finally {
              stopped = true
            }
          },
        })
        const server = await ctx.serve({ store, downloads: true })
        const url = await createWith(server, bytesOf(1_000_000))
        const response = await expect(await server.fetch(url), 200)
        const reader = response.body?.getReader()
        await reader?.read()
        await reader?.cancel()
        await until(() => stopped, 'the store stops reading')
      },
    },
    {
      title: 'GET with hostile file names: quoted, encoded, one header',
      async run(ctx) {
        const names = [
          ['report.pdf', /^attachment; filename="report\.pdf"$/],
          ['a"b\\c.txt', /^attachment; filename="[^"\\]*"(; filename\*=UTF-8''[A-Za-z0-9.%_-]+)?$/],
          ['naïve ☃.txt', /filename\*=UTF-8''na%C3%AFve%20%E2%98%83\.txt/],
          ["it's 100% (new)*.txt", /^attachment; filename="[^"]*"(; filename\*=UTF-8''[A-Za-z0-9.%_-]+)?$/],
          ['a\r\nSet-Cookie: x=1', /^attachment(; filename="[^"\r\n]*"(; filename\*=UTF-8''[A-Za-z0-9.%_-]+)?)?$/],
          ['a\0b\u202Etxt.exe', /^[\x20-\x7e]+$/],
          ['../../etc/passwd', /^(?!.*\/).*$/],
          ['x; filename=evil.html', /^attachment; filename="x; filename=evil\.html"$/],
          ['', /^attachment$/],
          ['..', /^attachment$/],
        ] as const
        const server = await ctx.serve({ downloads: true })
        for (const [name, wanted] of names) {
          const url = await create(server, 0, { 'Upload-Metadata': `filename ${base64(name)}` })
          await expect(await server.fetch(url), 200, { 'Content-Disposition': wanted, 'Set-Cookie': null })
        }
      },
    },
    {
      title: 'GET with a file name that is no UTF-8: 200 with a harmless header',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const name = base64(new Uint8Array([0xff, 0xfe, 0x22, 0x80]))
        const url = await create(server, 0, { 'Upload-Metadata': `filename ${name}` })
        await expect(await server.fetch(url), 200, { 'Content-Disposition': /^[\x20-\x7e]+$/ })
      },
    },
    ...(
      [
        ['image/png', 'image/png', /^inline/],
        ['video/mp4', 'video/mp4', /^inline/],
        ['text/html', /^(text\/html|application\/octet-stream)/, /^attachment/],
        ['TEXT/HTML; charset=utf-7', /^(text\/html|application\/octet-stream)/, /^attachment/],
        ['image/svg+xml', /^(image\/svg\+xml|application\/octet-stream)/, /^attachment/],
        ['application/xhtml+xml', /^application\//, /^attachment/],
        ['text/javascript', /./, /^attachment/],
        ['application/pdf', /^application\/(pdf|octet-stream)/, /./],
        ['text/html\r\nX-Evil: 1', 'application/octet-stream', /^attachment/],
        ['image/png\0', 'application/octet-stream', /^attachment/],
        ['nonsense', 'application/octet-stream', /^attachment/],
        ['', 'application/octet-stream', /^attachment/],
      ] as const
    ).map(([filetype, type, disposition]): Case => ({
      title: `GET with filetype ${JSON.stringify(filetype)}: nothing that a browser could run`,
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await create(server, 0, { 'Upload-Metadata': `filetype ${base64(filetype)}` })
        await expect(await server.fetch(url), 200, {
          'Content-Type': type,
          'Content-Disposition': disposition,
          'X-Evil': null,
        })
      },
    })),
  ],
}

async function get(ctx: Context): Promise<{
  server: Awaited<ReturnType<Context['serve']>>
  url: string
  response: Response
}> {
  const server = await ctx.serve({ downloads: true })
  const url = await createWith(server, bytes)
  return { server, url, response: await server.fetch(url) }
}
