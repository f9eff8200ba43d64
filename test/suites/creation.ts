import { StoreError, type NewUpload } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import {
  create,
  createWith,
  expectBytes,
  expectOffset,
  head,
  incomplete,
  locationOf,
  longest,
  patch,
  post,
  recordOf,
} from './client.ts'
import { withMethods } from './fakes.ts'
import { notNumbers } from './numbers.ts'
import { equal, expect, expectRefusal, fail, ok, statusesOf, type Case, type Server, type Suite } from './support.ts'

export const suite: Suite = {
  name: 'creation',
  cases: [
    {
      // Creation, POST: "The Server MUST acknowledge a successful upload creation with the 201 Created status. The
      // Server MUST set the Location header to the URL of the created resource."
      title: 'POST with Upload-Length: 201 with Location, without offset and body',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await post(server, { 'Upload-Length': '100' })
        const headers = { 'Upload-Offset': null, 'Upload-Expires': null, Location: /./ }
        await expect(response, 201, headers)
        equal(await response.text(), '', 'body')
        const url = await locationOf(server, response)
        await expectOffset(server, url, 0, { 'Upload-Length': '100' })
        equal((await recordOf(server, url)).completed, false, 'completed in the record')
      },
    },
    {
      title: 'POST a hundred times: a hundred different ids, none to be guessed',
      async run(ctx) {
        const server = await ctx.serve()
        const urls = await Promise.all(Array.from({ length: 100 }, async () => await create(server, 1)))
        equal(new Set(urls).size, 100, 'different addresses')
        for (const url of urls) ok(url.length - server.url.length > 22, `${url} holds fewer than 128 bits`)
      },
    },
    {
      title: 'POST with a Content-Type but without a body: 201, the type does not matter',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await post(server, { 'Upload-Length': '5', 'Content-Type': 'text/plain' }), 201)
      },
    },
    {
      // "The request MUST include one of the following headers: a) Upload-Length ... b) Upload-Defer-Length: 1".
      title: 'POST with neither Upload-Length nor Upload-Defer-Length: 400, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        await expectRefusal(await post(server, {}), 400, /Upload-Length/)
        await expectNothing(server)
      },
    },
    {
      title: 'POST with both Upload-Length and Upload-Defer-Length: 400, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await post(server, { 'Upload-Length': '5', 'Upload-Defer-Length': '1' })
        await expectRefusal(response, 400, /Upload-(Defer-)?Length/)
        await expectNothing(server)
      },
    },
    ...notNumbers.map((value): Case => ({
      // Headers, Upload-Length: "The value MUST be a non-negative integer."
      title: `POST with Upload-Length "${value}": 400 that names it, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        await expectRefusal(await post(server, { 'Upload-Length': value }), 400, /Upload-Length/)
        await expectNothing(server)
      },
    })),
    {
      title: 'POST with leading zeros in Upload-Length: the number they write',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await locationOf(server, await post(server, { 'Upload-Length': '007' }))
        await expectOffset(server, url, 0, { 'Upload-Length': '7' })
      },
    },
    {
      // "Such an upload is immediately complete after its creation without transferring data using PATCH requests."
      title: 'POST with Upload-Length 0: complete at once, finished once',
      async run(ctx) {
        const finished: string[] = []
        const server = await ctx.serve({ onFinish: ({ upload }) => void finished.push(upload.id) })
        const url = await create(server, 0)
        equal(finished.length, 1, 'calls of onFinish')
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        await expectOffset(server, url, 0, { 'Upload-Length': '0', 'Upload-Expires': null })
        await expect(await patch(server, url, 0), 204, { 'Upload-Offset': '0' })
        equal(finished.length, 1, 'calls of onFinish after HEAD and PATCH')
      },
    },
    {
      title: 'PATCH with a byte on an empty upload: 413',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 0)
        await expect(await patch(server, url, 0, bytesOf(1)), 413)
        await expectOffset(server, url, 0)
      },
    },
    {
      // "If the length of the upload exceeds the maximum ... the Server MUST respond with the 413".
      title: 'POST with a length one over maxSize: 413, nothing stored',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 100 })
        await expect(await post(server, { 'Upload-Length': '101' }), 413, { Location: null })
        await expectNothing(server)
      },
    },
    {
      title: 'POST with a length of exactly maxSize: 201, and it can be filled',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 100 })
        await expectBytes(server, await createWith(server, bytesOf(100)), bytesOf(100))
      },
    },
    {
      title: 'POST, maxSize a function: it is given request and upload and decides',
      async run(ctx) {
        const seen: NewUpload[] = []
        const server = await ctx.serve({
          maxSize: async (request, upload) => {
            seen.push(upload)
            return await Promise.resolve(request.headers.get('X-Plan') === 'big' ? 1000 : 10)
          },
        })
        await expect(await post(server, { 'Upload-Length': '11', 'Upload-Metadata': 'a YQ==' }), 413)
        await expect(await post(server, { 'Upload-Length': '10' }), 201)
        await expect(await post(server, { 'Upload-Length': '1000', 'X-Plan': 'big' }), 201)
        equal(seen[0]?.length, 11, 'length of the upload shown')
        equal(seen[0]?.metadata, 'a YQ==', 'metadata of the upload shown')
      },
    },
    {
      title: 'POST, maxSize a function that answers 0: no limit',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: () => 0 })
        await expect(await post(server, { 'Upload-Length': String(longest(server)) }), 201)
      },
    },
    {
      title: 'POST, maxSize a function that throws: 500 without details, nothing stored',
      async run(ctx) {
        const server = await ctx.serve({
          maxSize: () => {
            throw new Error('plans table is gone')
          },
        })
        await expectRefusal(await post(server, { 'Upload-Length': '5' }), 500, /^Internal error\n?$/)
        await expectNothing(server)
      },
    },
    ...(
      [
        ['full', 507],
        ['unavailable', 503],
        ['corrupt', 500],
      ] as const
    ).map(([code, status]): Case => ({
      title: `POST, the store cannot create (${code}): ${status} without details`,
      async run(ctx) {
        const store = withMethods(await ctx.store(), {
          create: () => Promise.reject(new StoreError(code, 'secret: /var/lib/x')),
        })
        const response = await post(await ctx.serve({ store }), { 'Upload-Length': '5' })
        await expect(response, status, { Location: null })
        ok(!(await response.text()).includes('secret'), 'the answer tells what the store said')
      },
    })),
    {
      title: 'POST with an id that is taken: 409, the upload there is untouched',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'taken' })
        const url = await createWith(server, bytesOf(5), { 'Upload-Metadata': 'a YQ==' }, 10)
        await expect(await post(server, { 'Upload-Length': '3' }), 409)
        await expectOffset(server, url, 5, { 'Upload-Length': '10', 'Upload-Metadata': 'a YQ==' })
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'POST with an id that is taken by a completed upload, empty this time: 409, bytes untouched',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'taken' })
        const url = await createWith(server, bytesOf(5))
        await expect(await post(server, { 'Upload-Length': '0' }), 409)
        await expectBytes(server, url, bytesOf(5))
      },
    },
    {
      title: 'two POSTs with one id at a time: one 201, one 409',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'same' })
        const answers = await Promise.all([1, 2].map(() => post(server, { 'Upload-Length': '5' })))
        equal(statusesOf(answers), '201,409', 'statuses')
      },
    },
    {
      title: 'HEAD directly after POST, at another handler on the same store: found',
      async run(ctx) {
        const one = await ctx.serve()
        const other = await ctx.serve({ store: one.store })
        const url = await create(one, 5)
        await expect(await head(other, other.url + url.slice(one.url.length)), 200, { 'Upload-Offset': '0' })
      },
    },
  ],
}

async function expectNothing(server: Server): Promise<void> {
  const left = await incomplete(server.store)
  if (left.length > 0) fail(`the store holds ${left.map((upload) => upload.id).join()}`)
}
