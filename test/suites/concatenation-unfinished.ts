import { bytesOf, concat, text } from './bodies.ts'
import {
  create,
  expectBytes,
  expectOffset,
  head,
  idOf,
  locationOf,
  patch,
  post,
  recordOf,
  stalled,
  tus,
} from './client.ts'
import { withMethods } from './fakes.ts'
import { equal, expect, ok, until, within, type Bytes, type Server, type Suite } from './support.ts'

const hello = text('hello')
const world = text(' world')

export const suite: Suite = {
  name: 'concatenation-unfinished',
  cases: [
    {
      // Concatenation: "The response to a HEAD request for a final upload SHOULD NOT contain the Upload-Offset header
      // unless the concatenation has been successfully finished." "The Upload-Length header MUST be included if the
      // length of the final resource can be calculated at the time of the request."
      title: 'HEAD on a final upload that waits: length and Upload-Concat, no offset',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await part(server, 5), await part(server, 6)]
        const url = await final(server, one, two)
        await expect(await head(server, url), 200, {
          'Upload-Offset': null,
          'Upload-Length': '11',
          'Upload-Concat': `final;${one} ${two}`,
          'Upload-Defer-Length': null,
        })
      },
    },
    {
      title: 'PATCHes that complete the partials: the final upload completes, finished once without a request',
      async run(ctx) {
        const finished: string[] = []
        const server = await ctx.serve({
          onFinish: ({ upload }) => void finished.push(`${upload.concat?.type} ${upload.offset}`),
        })
        const [one, two] = [await part(server, 5), await part(server, 6)]
        const url = await final(server, one, two)
        await fill(server, two, world)
        await expect(await head(server, url), 200, { 'Upload-Offset': null })
        equal(finished.length, 0, 'calls of onFinish while the final waits')
        await fill(server, one, hello)
        await until(() => finished.length > 0, 'the final upload is finished')
        await expectOffset(server, url, 11, { 'Upload-Length': '11' })
        await expectBytes(server, url, text('hello world'))
        equal(finished.join(), 'final 11', 'finished uploads')
      },
    },
    {
      title: 'partials of deferred length: no length told until all are known',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await create(server, 'deferred', { 'Upload-Concat': 'partial' })
        const two = await part(server, 6)
        const url = await final(server, one, two)
        await expect(await head(server, url), 200, { 'Upload-Offset': null, 'Upload-Length': null })
        await expect(await patch(server, one, 0, hello.subarray(0, 2), { 'Upload-Length': '5' }), 204)
        await expect(await head(server, url), 200, { 'Upload-Offset': null, 'Upload-Length': '11' })
        await fill(server, two, world)
        await expect(await patch(server, one, 2, hello.subarray(2)), 204)
        await expectJoined(server, url, text('hello world'))
      },
    },
    {
      title: 'one partial named twice, filled later: its bytes twice',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await part(server, 5)
        const url = await final(server, one, one)
        await expect(await head(server, url), 200, { 'Upload-Length': '10' })
        await fill(server, one, hello)
        await expectJoined(server, url, text('hellohello'))
      },
    },
    {
      title: 'two final uploads that wait for one partial: both complete',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await part(server, 5), await part(server, 6)]
        const [first, second] = [await final(server, one, two), await final(server, two, one)]
        await fill(server, one, hello)
        await fill(server, two, world)
        await expectJoined(server, first, text('hello world'))
        await expectJoined(server, second, text(' worldhello'))
      },
    },
    {
      title: 'two final uploads that wait for one partial, removePartials: the first whole, nothing half-joined',
      async run(ctx) {
        const server = await ctx.serve({ removePartials: true })
        const one = await part(server, 5)
        const [first, second] = [await final(server, one), await final(server, one)]
        await fill(server, one, hello)
        // Whichever came first has the bytes; the other has all of them or still none.
        const whole = async (url: string): Promise<boolean> => (await recordOf(server, url)).completed
        await until(async () => (await whole(first)) || (await whole(second)), 'one final upload is joined')
        for (const url of [first, second]) {
          if (await whole(url)) await expectBytes(server, url, hello)
          else equal((await recordOf(server, url)).offset, 0, 'offset of the final upload that still waits')
        }
      },
    },
    {
      title: 'the partials completed at the same time: the final upload is joined once',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const parts = await Promise.all([1, 2, 3, 4].map(() => part(server, 1000)))
        const url = await final(server, ...parts)
        await Promise.all(parts.map((each, i) => fill(server, each, bytesOf(1000, i))))
        await expectJoined(server, url, concat(parts.map((_, i) => bytesOf(1000, i))))
        equal(finished, 1, 'calls of onFinish')
      },
    },
    {
      title: 'a final upload, removePartials: the partials go when it is joined, not before',
      async run(ctx) {
        const server = await ctx.serve({ removePartials: true })
        const [one, two] = [await part(server, 5), await part(server, 6)]
        const url = await final(server, one, two)
        await fill(server, one, hello)
        await expectOffset(server, one, 5)
        await fill(server, two, world)
        await expectJoined(server, url, text('hello world'))
        for (const each of [one, two]) await expect(await head(server, each), 404)
      },
    },
    {
      title: 'PATCH on a final upload that waits: 403',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await final(server, await part(server, 5))
        await expect(await patch(server, url, 0, hello), 403)
      },
    },
    {
      title: 'GET on a final upload that waits, downloads on: 404',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await final(server, await part(server, 5))
        await expect(await server.fetch(url), 404)
      },
    },
    {
      title: 'DELETE on a final upload that waits: 204, completing the partial does not bring it back',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const one = await part(server, 5)
        const url = await final(server, one)
        await expect(await tus(server, 'DELETE', url), 204)
        await fill(server, one, hello)
        await expect(await head(server, url), 404)
        await expectBytes(server, one, hello)
        equal(finished, 0, 'calls of onFinish')
      },
    },
    {
      title: 'POST of a final upload that would be over maxSize once complete: 413',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 10 })
        const [one, two] = [await part(server, 5), await part(server, 6)]
        await expect(await post(server, { 'Upload-Concat': `final;${one} ${two}` }), 413)
      },
    },
    {
      title: 'partials of deferred length that turn out over maxSize together: never joined, never finished',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ maxSize: 10, onFinish: () => void finished++ })
        const one = await create(server, 'deferred', { 'Upload-Concat': 'partial' })
        const two = await part(server, 6)
        const url = await final(server, one, two)
        await fill(server, two, world)
        await expect(await patch(server, one, 0, hello, { 'Upload-Length': '5' }), 204)
        const response = await head(server, url)
        equal(response.headers.get('Upload-Offset'), null, 'Upload-Offset of the final upload')
        equal(finished, 0, 'calls of onFinish')
        equal((await recordOf(server, url)).offset, 0, 'offset in the record')
      },
    },
    {
      title: 'POST of a final upload beside a PATCH of its partial: the PATCH is not disturbed',
      async run(ctx) {
        const server = await ctx.serve()
        const one = await part(server, 5)
        const running = await stalled(server, one, 0, hello.subarray(0, 2))
        const url = await within(final(server, one), 'POST of a final upload')
        running.write(hello.subarray(2))
        running.end()
        await expect(await running.response, 204, { 'Upload-Offset': '5' })
        await expectJoined(server, url, hello)
      },
    },
    {
      title: 'sweep(): joins a final upload that its partials could not join',
      async run(ctx) {
        const inner = await ctx.store()
        // As after a crash between the partial's last byte and the joining.
        const server = await ctx.serve({ store: withMethods(inner, { finalsOf: () => Promise.resolve([]) }) })
        const one = await part(server, 5)
        const url = await final(server, one)
        await fill(server, one, hello)
        equal((await recordOf(server, url)).completed, false, 'completed before the sweep')
        equal((await server.handler.sweep()).concatenated, 1, 'final uploads completed by the sweep')
        await expectBytes(server, url, hello)
        await expectOffset(server, url, 5)
      },
    },
    {
      title: 'HEAD on a final upload that its partials could not join: joins it',
      async run(ctx) {
        const inner = await ctx.store()
        const server = await ctx.serve({ store: withMethods(inner, { finalsOf: () => Promise.resolve([]) }) })
        const one = await part(server, 5)
        const url = await final(server, one)
        await fill(server, one, hello)
        await expectJoined(server, url, hello)
      },
    },
    {
      title: 'PATCH that completes the last partial, onFinish of the final fails: 204; HEAD on the final runs it again',
      async run(ctx) {
        const ids: string[] = []
        const server = await ctx.serve({
          onFinish: ({ eventId }) => {
            ids.push(eventId)
            if (ids.length <= 2) throw new Error('out')
          },
        })
        const one = await part(server, 5)
        const url = await final(server, one)
        await fill(server, one, hello)
        equal(ids.length, 1, 'calls of onFinish')
        equal((await recordOf(server, url)).completed, false, 'completed after the failure')
        // tus-js-client waits and asks again.
        await expect(await head(server, url), 423)
        await expectOffset(server, url, 5)
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        await expectBytes(server, url, hello)
        equal(ids.length, 3, 'calls of onFinish')
        equal(new Set(ids).size, 1, 'event ids')
      },
    },
    {
      title: 'DELETE on a partial that a final upload waits for: the final upload never claims to be complete',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, two] = [await part(server, 5), await part(server, 6)]
        const url = await final(server, one, two)
        await expect(await tus(server, 'DELETE', one), 204)
        await fill(server, two, world)
        const response = await head(server, url)
        ok([200, 404, 410].includes(response.status), `HEAD answered ${response.status}`)
        equal(response.headers.get('Upload-Offset'), null, 'Upload-Offset of the final upload')
        equal((await server.store.get(idOf(server, url)))?.completed ?? false, false, 'completed in the record')
      },
    },
  ],
}

async function part(server: Server, length: number): Promise<string> {
  return await create(server, length, { 'Upload-Concat': 'partial' })
}

async function final(server: Server, ...parts: readonly string[]): Promise<string> {
  return await locationOf(server, await post(server, { 'Upload-Concat': `final;${parts.join(' ')}` }))
}

async function fill(server: Server, url: string, bytes: Bytes): Promise<void> {
  await expect(await patch(server, url, 0, bytes), 204, { 'Upload-Offset': String(bytes.length) })
}

/** The final upload is complete within seconds and holds these bytes. */
async function expectJoined(server: Server, url: string, bytes: Uint8Array): Promise<void> {
  await until(async () => (await head(server, url)).headers.has('Upload-Offset'), 'the final upload is joined')
  await expectOffset(server, url, bytes.length, { 'Upload-Length': String(bytes.length) })
  await expectBytes(server, url, bytes)
}
