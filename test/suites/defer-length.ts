import { bytesOf, stream } from './bodies.ts'
import { create, cut, expectBytes, expectOffset, head, patch, post, recordOf, type Headers } from './client.ts'
import { notNumbers } from './numbers.ts'
import { equal, expect, expectRefusal, type Case, type Server, type Suite } from './support.ts'

const bytes = bytesOf(100)

export const suite: Suite = {
  name: 'creation-defer-length',
  cases: [
    {
      // Creation, POST: "As long as the length of the upload is not known, the Server MUST set Upload-Defer-Length: 1
      // in all responses to HEAD requests."
      title: 'POST with Upload-Defer-Length 1: 201, HEAD says so and tells no length',
      async run(ctx) {
        const server = await ctx.serve()
        await expectDeferred(server, await create(server, 'deferred'), 0)
      },
    },
    ...['0', '2', 'true', '01', '1,1', '-1', ''].map((value): Case => ({
      // "If the Upload-Defer-Length header contains any other value than 1 the server should return a 400".
      title: `POST with Upload-Defer-Length "${value}": 400`,
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await post(server, { 'Upload-Defer-Length': value }), 400)
      },
    })),
    {
      title: 'POST with Upload-Defer-Length 1, switched off: 400',
      async run(ctx) {
        const server = await ctx.serve({ extensions: { 'creation-defer-length': false } })
        await expect(await post(server, { 'Upload-Defer-Length': '1' }), 400)
      },
    },
    {
      title: 'PATCHes without length, then one with it: bytes stored, finished only then',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const url = await create(server, 'deferred')
        await expect(await patch(server, url, 0, bytes.subarray(0, 30)), 204, { 'Upload-Offset': '30' })
        await expectDeferred(server, url, 30)
        await expect(await patch(server, url, 30, stream(bytes.subarray(30, 60))), 204, { 'Upload-Offset': '60' })
        await expectDeferred(server, url, 60)
        equal(finished, 0, 'calls of onFinish before the length was known')
        const last = await patch(server, url, 60, bytes.subarray(60), { 'Upload-Length': '100' })
        await expect(last, 204, { 'Upload-Offset': '100' })
        await expectOffset(server, url, 100, { 'Upload-Length': '100', 'Upload-Defer-Length': null })
        await expectBytes(server, url, bytes)
        equal(finished, 1, 'calls of onFinish')
      },
    },
    {
      title: 'PATCH with the length ahead of the last bytes: HEAD tells it, the rest follows',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 'deferred')
        await expect(await patch(server, url, 0, bytes.subarray(0, 30), { 'Upload-Length': '100' }), 204)
        await expectOffset(server, url, 30, { 'Upload-Length': '100', 'Upload-Defer-Length': null })
        await expect(await patch(server, url, 30, bytes.subarray(30)), 204, { 'Upload-Offset': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH with the length and no bytes, all being there: completed, finished once',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const url = await create(server, 'deferred')
        await expect(await patch(server, url, 0, bytes), 204)
        await expect(await patch(server, url, 100, undefined, { 'Upload-Length': '100' }), 204)
        equal(finished, 1, 'calls of onFinish')
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
      },
    },
    {
      title: 'PATCH with length 0 and no bytes: an empty upload, finished once',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const url = await create(server, 'deferred')
        await expect(await patch(server, url, 0, undefined, { 'Upload-Length': '0' }), 204, { 'Upload-Offset': '0' })
        await expectOffset(server, url, 0, { 'Upload-Length': '0', 'Upload-Defer-Length': null })
        equal(finished, 1, 'calls of onFinish')
      },
    },
    {
      title: 'PATCH with a length less than the offset: 400, still deferred',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        await expectRefusal(await patch(server, url, 50, undefined, { 'Upload-Length': '49' }), 400, /Upload-Length/)
        await expectDeferred(server, url, 50)
      },
    },
    {
      title: 'PATCH with a length over maxSize: 413, still deferred',
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 80 })
        const url = await filled(server)
        await expect(await patch(server, url, 50, bytes.subarray(50, 60), { 'Upload-Length': '81' }), 413)
        await expectDeferred(server, url, 50)
        await expectBytes(server, url, bytes.subarray(0, 50))
      },
    },
    {
      title: 'PATCH with a length, then with one again, the same or another: 400',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        await expect(await patch(server, url, 50, undefined, { 'Upload-Length': '100' }), 204)
        for (const length of ['100', '101', '50']) {
          const response = await patch(server, url, 50, undefined, { 'Upload-Length': length })
          await expectRefusal(response, 400, /Upload-Length/)
        }
        await expectOffset(server, url, 50, { 'Upload-Length': '100' })
      },
    },
    ...notNumbers.map((value): Case => ({
      title: `PATCH with Upload-Length "${value}": 400 that names it, still deferred`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        const response = await patch(server, url, 50, bytes.subarray(50), { 'Upload-Length': value })
        await expectRefusal(response, 400, /Upload-Length/)
        await expectDeferred(server, url, 50)
      },
    })),
    {
      title: 'PATCH with a length at the wrong offset: 409, still deferred',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        await expect(await patch(server, url, 40, bytes.subarray(40), { 'Upload-Length': '100' }), 409)
        await expectDeferred(server, url, 50)
      },
    },
    ...['declared', 'streamed'].map((how): Case => ({
      title: `PATCH with a length and one byte more than it, ${how}: 413, nothing of it stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        const rest = bytes.subarray(50)
        const body = how === 'declared' ? rest : stream(rest.subarray(0, 20), rest.subarray(20))
        await expect(await patch(server, url, 50, body, { 'Upload-Length': '99' }), 413)
        await expectBytes(server, url, bytes.subarray(0, 50))
      },
    })),
    ...['declared', 'streamed'].map((how): Case => ({
      // tusd skips its size limit on deferred-length PATCHes that carry Content-Length.
      title: `PATCH without length and one byte over maxSize, ${how}: 413, nothing of it stored`,
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 99 })
        const url = await filled(server)
        const rest = bytes.subarray(50)
        const body = how === 'declared' ? rest : stream(rest.subarray(0, 20), rest.subarray(20))
        await expect(await patch(server, url, 50, body), 413)
        await expectBytes(server, url, bytes.subarray(0, 50))
        await expect(await patch(server, url, 50, bytes.subarray(50, 99), { 'Upload-Length': '99' }), 204)
        await expectBytes(server, url, bytes.subarray(0, 99))
      },
    })),
    {
      title: 'PATCH with a length whose connection breaks: bytes kept, going on as HEAD says completes it',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await filled(server)
        await cut(server, url, 50, bytes.subarray(50, 70), { 'Upload-Length': '100' })
        const state = await expect(await head(server, url), 200, { 'Upload-Offset': '70' })
        const headers: Headers = state.headers.has('Upload-Length') ? {} : { 'Upload-Length': '100' }
        await expect(await patch(server, url, 70, bytes.subarray(70), headers), 204, { 'Upload-Offset': '100' })
        await expectOffset(server, url, 100, { 'Upload-Length': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'GET on an upload without length, downloads on: 404 however much there is',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await filled(server)
        await expect(await server.fetch(url), 404)
      },
    },
  ],
}

/** A deferred upload that holds the first 50 bytes. */
async function filled(server: Server): Promise<string> {
  const url = await create(server, 'deferred')
  await expect(await patch(server, url, 0, bytes.subarray(0, 50)), 204, { 'Upload-Offset': '50' })
  return url
}

async function expectDeferred(server: Server, url: string, offset: number): Promise<void> {
  await expectOffset(server, url, offset, { 'Upload-Defer-Length': '1', 'Upload-Length': null })
}
