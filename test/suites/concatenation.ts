import { StoreError, type Upload } from '../../src/index.ts'
import { bytesOf, concat, stream, text } from './bodies.ts'
import {
  create,
  createWith,
  expectBytes,
  expectOffset,
  head,
  incomplete,
  locationOf,
  octets,
  patch,
  post,
  tus,
  type Headers,
} from './client.ts'
import { withMethods } from './fakes.ts'
import {
  equal,
  expect,
  expectLength,
  expectRefusal,
  type Bytes,
  type Case,
  type Server,
  type Suite,
} from './support.ts'

const hello = text('hello')
const world = text(' world')

export const suite: Suite = {
  name: 'concatenation',
  cases: [
    {
      // Concatenation: "Response to HEAD request against partial or final upload MUST include the Upload-Concat header
      // and its value as received in the upload creation request."
      title: 'HEAD on a partial upload: offset, length and Upload-Concat: partial',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await partial(server, hello, {}, 9)
        await expectOffset(server, url, 5, { 'Upload-Length': '9', 'Upload-Concat': 'partial' })
      },
    },
    {
      // "The length of the final upload MUST be the sum of the length of all partial uploads." "After successful
      // concatenation, the Upload-Offset and Upload-Length MUST be set and their values MUST be equal."
      title: 'POST of a final upload: 201, the bytes in order, HEAD repeats Upload-Concat',
      async run(ctx) {
        const server = await ctx.serve()
        const value = list(server, await partial(server, hello), await partial(server, world))
        const url = await final(server, value)
        await expectOffset(server, url, 11, { 'Upload-Length': '11', 'Upload-Concat': value })
        await expectBytes(server, url, text('hello world'))
      },
    },
    {
      title: 'POST of a final upload in the other order: the bytes in that order',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        await expectBytes(server, await final(server, list(server, two, one)), text(' worldhello'))
      },
    },
    {
      // "The same partial upload MAY be present multiple times in the Upload-Concat header".
      title: 'POST of a final upload that names one partial three times: its bytes three times',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const url = await final(server, list(server, one, two, one, one))
        await expectOffset(server, url, 21, { 'Upload-Length': '21' })
        await expectBytes(server, url, text('hello worldhellohello'))
      },
    },
    {
      // "... or MAY be used in multiple upload creation requests."
      title: 'POST of two final uploads of the same partials: both whole, the partials still there',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const first = await final(server, list(server, one, two))
        const second = await final(server, list(server, two, one))
        await expectBytes(server, first, text('hello world'))
        await expectBytes(server, second, text(' worldhello'))
        await expectBytes(server, one, hello)
        await expectBytes(server, two, world)
      },
    },
    {
      title: 'POST of a final upload of one partial: a copy',
      async run(ctx) {
        const server = await ctx.serve()
        await expectBytes(server, await final(server, list(server, await partial(server, hello))), hello)
      },
    },
    {
      // Concatenation, Upload-Concat: "The partial uploads URLs MAY be absolute or relative".
      title: 'POST of a final upload by absolute URLs, other origins, queries and fragments: the path decides',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const path = two.slice(server.origin.length)
        for (const other of [two, `https://cdn.example.org${path}`, `${path}?token=1`, `http://x.test:99${path}?a#b`]) {
          await expectBytes(server, await final(server, `final;${one} ${other}`), text('hello world'))
        }
      },
    },
    {
      title: 'POST of a final upload, an id that needs encoding: decoded once',
      async run(ctx) {
        const ids = ['a b/c+d', 'ü(1)', 'f']
        const server = await ctx.serve({ generateId: () => ids.shift() ?? 'more' })
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        await expectBytes(server, await final(server, list(server, one, two)), text('hello world'))
      },
    },
    {
      title: 'POST of a final upload of 150 URLs: all joined',
      async run(ctx) {
        let n = 0
        const server = await ctx.serve({ generateId: () => `p${n++}` })
        const parts: string[] = []
        for (let i = 0; i < 10; i++) parts.push(await partial(server, bytesOf(i * 7, i)))
        const order = Array.from({ length: 150 }, (_, i) => (i * 7) % 10)
        const url = await final(server, list(server, ...order.map((i) => parts[i] ?? '')))
        await expectBytes(server, url, concat(order.map((i) => bytesOf(i * 7, i))))
      },
    },
    {
      title: 'POST of a final upload, one partial empty: as if it were not there',
      async run(ctx) {
        const server = await ctx.serve()
        const empty = await create(server, 0, { 'Upload-Concat': 'partial' })
        const value = list(server, empty, await partial(server, hello), empty)
        await expectBytes(server, await final(server, value), hello)
      },
    },
    {
      title: 'POST of a final upload, all partials empty: complete at length 0, finished once',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const empty = await create(server, 0, { 'Upload-Concat': 'partial' })
        const url = await final(server, list(server, empty, empty))
        await expectOffset(server, url, 0, { 'Upload-Length': '0' })
        equal(finished, 1, 'calls of onFinish')
      },
    },
    {
      title: 'POST of a partial upload with its bytes, another with deferred length: both can be joined',
      async run(ctx) {
        const server = await ctx.serve()
        const headers = { 'Upload-Concat': 'partial', 'Content-Type': octets }
        const one = await locationOf(server, await post(server, { ...headers, 'Upload-Length': '5' }, hello))
        const two = await create(server, 'deferred', { 'Upload-Concat': 'partial' })
        await expect(await patch(server, two, 0, world, { 'Upload-Length': '6' }), 204)
        await expectBytes(server, await final(server, list(server, one, two)), text('hello world'))
      },
    },
    {
      // "The Server SHOULD NOT process these partial uploads until they are concatenated to form a final upload."
      title: 'partial uploads are not finished, their final upload is, once, with all bytes',
      async run(ctx) {
        const finished: Upload[] = []
        const server = await ctx.serve({ onFinish: ({ upload }) => void finished.push(upload) })
        const value = list(server, await partial(server, hello), await partial(server, world))
        equal(finished.length, 0, 'calls of onFinish for partial uploads')
        const url = await final(server, value)
        await expectOffset(server, url, 11)
        equal(
          finished.map((upload) => `${upload.concat?.type} ${upload.offset}`).join(),
          'final 11',
          'finished uploads',
        )
      },
    },
    {
      // "The partial uploads' metadata SHALL NOT be transferred to the new final upload."
      title: 'HEAD on a final upload: its own metadata, nothing of its partials',
      async run(ctx) {
        const server = await ctx.serve()
        const value = list(server, await partial(server, hello, { 'Upload-Metadata': 'part YQ==' }))
        await expectOffset(server, await final(server, value), 5, { 'Upload-Metadata': null })
        const named = await final(server, value, { 'Upload-Metadata': 'name Yg==' })
        await expectOffset(server, named, 5, { 'Upload-Metadata': 'name Yg==' })
      },
    },
    ...['Upload-Length', 'Upload-Defer-Length'].map((name): Case => ({
      // "The Client MUST NOT include the Upload-Length header in the final upload creation."
      title: `POST of a final upload with ${name}: 400`,
      async run(ctx) {
        const server = await ctx.serve()
        const value = list(server, await partial(server, hello))
        const headers = { 'Upload-Concat': value, [name]: name === 'Upload-Length' ? '5' : '1' }
        await expectRefusal(await post(server, headers), 400, new RegExp(name))
      },
    })),
    {
      title: 'POST of a final upload with a body: 400',
      async run(ctx) {
        const server = await ctx.serve()
        const headers = { 'Upload-Concat': list(server, await partial(server, hello)), 'Content-Type': octets }
        await expect(await post(server, headers, hello), 400)
        await expect(await post(server, headers, stream(hello)), 400)
      },
    },
    {
      title: 'POST of a final upload over maxSize: 413, nothing stored, the partials stay',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 10 })
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const before = (await incomplete(server.store)).length
        await expect(await post(server, { 'Upload-Concat': list(server, one, two) }), 413)
        equal((await incomplete(server.store)).length, before, 'uploads in the store')
        await expectBytes(server, one, hello)
        await expectBytes(server, await final(server, list(server, one, one)), text('hellohello'))
      },
    },
    {
      // "The Server MUST respond with the 403 Forbidden status to PATCH requests against a final upload URL and MUST
      // NOT modify the final or its partial uploads."
      title: 'PATCH on a final upload, with and without bytes: 403, nothing changed',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await partial(server, hello)
        const url = await final(server, list(server, one))
        await expect(await patch(server, url, 5, bytesOf(1)), 403)
        await expect(await patch(server, url, 0, bytesOf(1)), 403)
        await expect(await patch(server, url, 5), 403)
        await expectBytes(server, url, hello)
        await expectBytes(server, one, hello)
      },
    },
    {
      title: 'DELETE on a final upload: 204, the partials stay',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await partial(server, hello)
        const url = await final(server, list(server, one))
        await expect(await tus(server, 'DELETE', url), 204)
        await expect(await head(server, url), 404)
        await expectBytes(server, one, hello)
      },
    },
    {
      title: 'DELETE on the partials of a final upload: 204, the final stays whole',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const url = await final(server, list(server, one, two))
        for (const part of [one, two]) await expect(await tus(server, 'DELETE', part), 204)
        await expectOffset(server, url, 11)
        await expectBytes(server, url, text('hello world'))
      },
    },
    {
      title:
        'POST of a final upload, removePartials: the partials are gone, the final whole, also with one named twice',
      async run(ctx) {
        const server = await ctx.serve({ removePartials: true })
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        const url = await final(server, list(server, one, two, one))
        await expectBytes(server, url, text('hello worldhello'))
        for (const part of [one, two]) await expect(await head(server, part), 404)
        await expectOffset(server, url, 16)
        equal((await incomplete(server.store)).length, 0, 'incomplete uploads in the store')
      },
    },
    {
      title: 'POST of a final upload, removePartials, the store cannot join: 503, the partials stay; again: 201',
      async run(ctx) {
        const inner = await ctx.store()
        let fails = 1
        const store = withMethods(inner, {
          concatenate: async (upload, partials, options) => {
            if (fails-- > 0) throw new StoreError('unavailable', 'out')
            return (await inner.concatenate?.(upload, partials, options)) ?? upload
          },
        })
        const server = await ctx.serve({ store, removePartials: true })
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        await expect(await post(server, { 'Upload-Concat': list(server, one, two) }), 503)
        await expectBytes(server, one, hello)
        await expectBytes(server, two, world)
        await expectBytes(server, await final(server, list(server, one, two)), text('hello world'))
      },
    },
    ...[false, true].map((removePartials): Case => ({
      // Whoever sent it does not know the URL, and sends it again.
      title: `POST of a final upload, removePartials ${removePartials}, onFinish fails: 500, no trace of it; again: 201`,
      async run(ctx) {
        const calls: string[] = []
        const server = await ctx.serve({
          removePartials,
          onFinish: ({ upload }) => {
            calls.push(`${upload.concat?.type} ${upload.offset}/${upload.length}`)
            if (calls.length === 1) throw new Error('out')
          },
        })
        const [one, two] = [await partial(server, hello), await partial(server, world)]
        await expect(await post(server, { 'Upload-Concat': list(server, one, two) }), 500)
        equal((await incomplete(server.store)).length, 0, 'incomplete uploads in the store')
        await expectBytes(server, one, hello)
        await expectBytes(server, two, world)
        const url = await final(server, list(server, one, two))
        await expectBytes(server, url, text('hello world'))
        await expectOffset(server, url, 11)
        equal(calls.join(), 'final 11/11,final 11/11', 'calls of onFinish')
      },
    })),
    ...(['partial', 'final'] as const).map((kind): Case => ({
      title: `POST of a ${kind} upload, concatenation switched off: 400`,
      async run(ctx) {
        const server = await ctx.serve({ extensions: { concatenation: false } })
        const headers: Headers =
          kind === 'partial'
            ? { 'Upload-Concat': 'partial', 'Upload-Length': '5' }
            : { 'Upload-Concat': list(server, await createWith(server, hello)) }
        await expect(await post(server, headers), 400)
      },
    })),
    {
      title: 'GET on a final upload, downloads on: the joined bytes',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await final(server, list(server, await partial(server, hello), await partial(server, world)))
        const response = await expect(await server.fetch(url), 200)
        expectLength(ctx, response, 11)
        equal(await response.text(), 'hello world', 'body')
      },
    },
  ],
}

async function partial(server: Server, bytes: Bytes, headers: Headers = {}, length = bytes.length): Promise<string> {
  return await createWith(server, bytes, { 'Upload-Concat': 'partial', ...headers }, length)
}

async function final(server: Server, value: string, headers: Headers = {}): Promise<string> {
  return await locationOf(server, await post(server, { 'Upload-Concat': value, ...headers }))
}

/** An `Upload-Concat` value of paths. */
function list(server: Server, ...urls: readonly string[]): string {
  return `final;${urls.map((url) => url.slice(server.origin.length)).join(' ')}`
}
