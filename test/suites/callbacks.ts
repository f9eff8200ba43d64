import { StoreError, TusError, type Upload, type UploadEvent } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, head, octets, patch, post, recordOf } from './client.ts'
import { spied, withMethods } from './fakes.ts'
import { equal, expect, expectRefusal, ok, type Case, type Context, type Server, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'callbacks',
  cases: [
    {
      title: 'POST: onCreate is shown upload and request before anything is stored',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const seen: string[] = []
        const server = await ctx.serve({
          store,
          onCreate: async ({ upload, request }) => {
            await Promise.resolve()
            seen.push(`${upload.id} ${upload.length} ${request.headers.get('X-User')} ${calls.includes('create')}`)
          },
        })
        const url = await create(server, 10, { 'X-User': 'ann' })
        equal(seen.join(), `${url.slice(server.url.length + 1)} 10 ann false`, 'calls of onCreate')
      },
    },
    {
      title: 'POST, onCreate refuses with a TusError: its status, message and headers, nothing stored',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({
          store,
          onCreate: () => {
            throw new TusError('rejected', 'Only images here', { status: 415, headers: { 'X-Reason': 'type' } })
          },
        })
        const response = await post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes)
        await expect(response, 415, { 'X-Reason': 'type', Location: null })
        equal((await response.text()).trim(), 'Only images here', 'body')
        equal(calls.join(), '', 'calls to the store')
      },
    },
    {
      title: 'POST, onCreate fails: 500 without details, nothing stored, onError hears of it',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const errors: unknown[] = []
        const failure = new Error('secret')
        const server = await ctx.serve({
          store,
          onCreate: () => Promise.reject(failure),
          onError: (error) => void errors.push(error),
        })
        await expectRefusal(await post(server, { 'Upload-Length': '10' }), 500, /^Internal error\n?$/)
        equal(calls.join(), '', 'calls to the store')
        ok(errors.length === 1 && errors[0] === failure, 'onError did not hear of that failure once')
      },
    },
    {
      title: 'POST over maxSize: onCreate is not called for what is refused anyway',
      async run(ctx) {
        let calls = 0
        const server = await ctx.serve({ maxSize: 5, onCreate: () => void calls++ })
        await expect(await post(server, { 'Upload-Length': '6' }), 413)
        await expect(await post(server, { 'Upload-Length': '5', 'Upload-Metadata': ',' }), 400)
        equal(calls, 0, 'calls of onCreate')
      },
    },
    {
      title: 'PATCH with the last bytes: onFinish once, all bytes stored before, completed after',
      async run(ctx) {
        const seen: string[] = []
        const store = await ctx.store()
        const server: Server = await ctx.serve({
          store,
          onFinish: async ({ upload, request }) => {
            const record = await store.get(upload.id)
            seen.push(`${upload.offset}/${upload.length} ${record?.offset} ${record?.completed} ${request?.method}`)
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        equal(seen.length, 0, 'calls of onFinish half-way')
        await expect(await patch(server, url, 5, bytes.subarray(5)), 204)
        equal(seen.join(), '10/10 10 false PATCH', 'calls of onFinish')
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        for (let i = 0; i < 2; i++) {
          await expectOffset(server, url, 10)
          await expect(await patch(server, url, 10), 204)
        }
        equal(seen.length, 1, 'calls of onFinish after more requests')
      },
    },
    ...(['HEAD', 'an empty PATCH'] as const).map((method): Case => ({
      // A failed finish must not look successful: offset equals length, so retries would skip it.
      title: `PATCH, onFinish fails: 500 with the bytes kept, ${method} runs it again and completes`,
      async run(ctx) {
        const { server, url, calls } = await unfinished(ctx, 1)
        equal((await recordOf(server, url)).completed, false, 'completed after the failure')
        if (method === 'HEAD') await expectOffset(server, url, 10)
        else await expect(await patch(server, url, 10), 204, { 'Upload-Offset': '10' })
        equal(calls(), 2, 'calls of onFinish')
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        await expectBytes(server, url, bytes)
        await expectOffset(server, url, 10)
        equal(calls(), 2, 'calls of onFinish after completion')
      },
    })),
    {
      title: 'HEAD, onFinish fails again: neither 200 with the full offset nor a 4xx that makes clients start over',
      async run(ctx) {
        const { server, url, calls } = await unfinished(ctx, 2)
        const response = await head(server, url)
        // tus-js-client takes an offset equal to the length for success, and starts anew on a 4xx other than 423.
        ok(
          response.status >= 500 || response.status === 423,
          `HEAD answered ${response.status} with offset ${response.headers.get('Upload-Offset')}`,
        )
        equal(calls(), 2, 'calls of onFinish')
        await expectOffset(server, url, 10)
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
      },
    },
    {
      title: 'HEAD at a new handler on the same store after a failed onFinish: runs it and completes',
      async run(ctx) {
        const { server, url } = await unfinished(ctx, 99)
        await server.handler.close()
        let finished = 0
        const next = await ctx.serve({ store: server.store, onFinish: () => void finished++ })
        const moved = next.url + url.slice(server.url.length)
        await expectOffset(next, moved, 10)
        equal(finished, 1, 'calls of onFinish')
        equal((await recordOf(next, moved)).completed, true, 'completed in the record')
      },
    },
    {
      title: 'PATCH, onFinish refuses with a TusError: its status and message, not completed',
      async run(ctx) {
        const server = await ctx.serve({
          onFinish: () => {
            throw new TusError('rejected', 'A virus', { status: 422 })
          },
        })
        const url = await create(server, 10)
        await expectRefusal(await patch(server, url, 0, bytes), 422, /^A virus\n?$/)
        equal((await recordOf(server, url)).completed, false, 'completed in the record')
      },
    },
    {
      title: 'GET after a failed onFinish, downloads on: 404 until it is completed',
      async run(ctx) {
        const { server, url } = await unfinished(ctx, 1, { downloads: true })
        await expect(await server.fetch(url), 404)
        await expectOffset(server, url, 10)
        await expect(await server.fetch(url), 200)
      },
    },
    {
      title: 'POST of an empty upload, onFinish fails: 500; HEAD on its id completes it',
      async run(ctx) {
        let calls = 0
        const server = await ctx.serve({
          generateId: () => 'mine',
          onFinish: () => {
            if (++calls === 1) throw new Error('out')
          },
        })
        await expect(await post(server, { 'Upload-Length': '0' }), 500)
        await expectOffset(server, `${server.url}/mine`, 0, { 'Upload-Length': '0' })
        equal(calls, 2, 'calls of onFinish')
        equal((await recordOf(server, `${server.url}/mine`)).completed, true, 'completed in the record')
      },
    },
    {
      title: 'PATCH, the store cannot record completion: 503, HEAD tries again',
      async run(ctx) {
        const inner = await ctx.store()
        let fails = 1
        let finished = 0
        const store = withMethods(inner, {
          update: async (upload, change) => {
            if (change.completed === true && fails-- > 0) throw new StoreError('unavailable', 'out')
            return await inner.update(upload, change)
          },
        })
        const server = await ctx.serve({ store, onFinish: () => void finished++ })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 503)
        await expectOffset(server, url, 10)
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        ok(finished >= 1, 'onFinish was not called')
      },
    },
    {
      title: 'two HEADs at a time after a failed onFinish: it succeeds once',
      async run(ctx) {
        const { server, url, calls } = await unfinished(ctx, 1)
        const answers = await Promise.all([head(server, url), head(server, url)])
        for (const answer of answers) await expect(answer, 200, { 'Upload-Offset': '10' })
        equal(calls(), 2, 'calls of onFinish')
      },
    },
    {
      title: 'PATCHes with progress: offsets rise, end at or below the length, all before onFinish',
      async run(ctx) {
        const seen: string[] = []
        const show = (upload: Upload): string => `${upload.offset}/${upload.length}`
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress: ({ upload }) => void seen.push(show(upload)),
          onFinish: ({ upload }) => void seen.push(`finish ${show(upload)}`),
        })
        const url = await create(server, 300_000)
        const all = bytesOf(300_000)
        for (let at = 0; at < 300_000; at += 100_000) {
          await expect(await patch(server, url, at, all.subarray(at, at + 100_000)), 204)
        }
        equal(seen.at(-1), 'finish 300000/300000', 'last call')
        const offsets = seen.slice(0, -1).map((each) => Number(each.split('/')[0]))
        ok(offsets.length >= 2, `calls of onProgress: ${seen.join()}`)
        ok(
          offsets.every((offset, i) => offset > (offsets[i - 1] ?? 0) && offset <= 300_000),
          `offsets of onProgress: ${offsets.join()}`,
        )
      },
    },
    {
      title: 'PATCHes within progressIntervalMs: one call of onProgress',
      async run(ctx) {
        const seen: UploadEvent[] = []
        const server = await ctx.serve({ progressIntervalMs: 60_000, onProgress: (event) => void seen.push(event) })
        const url = await create(server, 10)
        for (let at = 0; at < 10; at++) await expect(await patch(server, url, at, bytes.subarray(at, at + 1)), 204)
        equal(seen.length, 1, 'calls of onProgress')
      },
    },
    {
      title: 'PATCH, onProgress throws: 204 all the same, onError hears of it',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress: () => {
            throw new Error('out')
          },
          onError: (error) => void errors.push(error),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204, { 'Upload-Offset': '10' })
        await expectBytes(server, url, bytes)
        ok(errors.length >= 1, 'onError heard nothing')
      },
    },
    {
      title: 'requests that clients got wrong: onError hears nothing',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({ maxSize: 10, onError: (error) => void errors.push(error) })
        const url = await createWith(server, bytes)
        await expect(await post(server, {}), 400)
        await expect(await head(server, `${server.url}/unknown`), 404)
        await expect(await patch(server, url, 3, bytes), 409)
        await expect(await post(server, { 'Upload-Length': '11' }), 413)
        await expect(await patch(server, url, 10, bytes, { 'Upload-Checksum': 'x' }), 400)
        equal(errors.length, 0, 'failures that onError heard of')
      },
    },
    {
      title: 'HEAD, the store fails and onError throws: answered 503 all the same',
      async run(ctx) {
        const get = (): Promise<never> => Promise.reject(new StoreError('unavailable', 'out'))
        const server = await ctx.serve({
          store: withMethods(await ctx.store(), { get }),
          onError: () => {
            throw new Error('the logger is out, too')
          },
        })
        await expect(await head(server, `${server.url}/abc`), 503)
      },
    },
  ],
}

/** An upload with all its bytes whose onFinish fails `failures` times. */
async function unfinished(
  ctx: Context,
  failures: number,
  options: { downloads?: boolean } = {},
): Promise<{ server: Server; url: string; calls: () => number }> {
  let calls = 0
  const server = await ctx.serve({
    ...options,
    onFinish: () => {
      if (++calls <= failures) throw new Error('secret')
    },
  })
  const url = await create(server, bytes.length)
  await expectRefusal(await patch(server, url, 0, bytes), 500, /^Internal error\n?$/)
  equal(calls, 1, 'calls of onFinish')
  return { server, url, calls: () => calls }
}
