import { StoreError } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import {
  create,
  createWith,
  expire,
  expectBytes,
  expectOffset,
  head,
  idOf,
  locationOf,
  octets,
  patch,
  post,
  recordOf,
  stalled,
  tus,
} from './client.ts'
import { withMethods } from './fakes.ts'
import { equal, expect, ok, until, type Case, type Server, type Suite } from './support.ts'

/** RFC 9110, 5.6.7, the form that is to be sent. */
const imfFixdate = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/

const hour = { afterMs: 3_600_000 }

export const suite: Suite = {
  name: 'expiration',
  cases: [
    {
      // Expiration, Upload-Expires: "If the expiration is known at the creation, the Upload-Expires header MUST be
      // included in the response to the initial POST request." "The value ... MUST be in RFC 9110 datetime format."
      title: 'POST: 201 with Upload-Expires, the time to live from now',
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const before = Date.now()
        const response = await post(server, { 'Upload-Length': '5' })
        await expect(response, 201, { 'Upload-Expires': imfFixdate })
        const at = Date.parse(response.headers.get('Upload-Expires') ?? '')
        ok(at > before + 3_598_000 && at <= Date.now() + 3_600_000, `expires ${at - before} ms from the request`)
      },
    },
    {
      // "This header MUST be included in every PATCH response if the upload is going to expire."
      title: 'PATCH and HEAD on an unfinished upload: Upload-Expires',
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytesOf(5)), 204, { 'Upload-Expires': imfFixdate })
        await expectOffset(server, url, 5, { 'Upload-Expires': imfFixdate })
      },
    },
    {
      title: 'PATCH with the last bytes, HEAD after: no Upload-Expires, it never will',
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const url = await create(server, 5)
        await expect(await patch(server, url, 0, bytesOf(5)), 204, { 'Upload-Expires': null })
        await expectOffset(server, url, 5, { 'Upload-Expires': null })
      },
    },
    {
      title: 'POST with all bytes, and of an empty upload: no Upload-Expires; with some bytes: Upload-Expires',
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const send = { 'Content-Type': octets, 'Upload-Length': '5' }
        await expect(await post(server, send, bytesOf(5)), 201, { 'Upload-Expires': null })
        await expect(await post(server, { 'Upload-Length': '0' }), 201, { 'Upload-Expires': null })
        await expect(await post(server, send, bytesOf(3)), 201, { 'Upload-Expires': imfFixdate })
      },
    },
    ...[undefined, { expiration: false }].map((extensions): Case => ({
      title: `POST, PATCH and HEAD, expiration ${extensions ? 'switched off' : 'not asked for'}: no Upload-Expires`,
      async run(ctx) {
        const server = await ctx.serve(extensions ? { expiration: hour, extensions } : {})
        const response = await post(server, { 'Upload-Length': '10' })
        await expect(response, 201, { 'Upload-Expires': null })
        const url = await locationOf(server, response)
        await expect(await patch(server, url, 0, bytesOf(5)), 204, { 'Upload-Expires': null })
        await expectOffset(server, url, 5, { 'Upload-Expires': null })
        equal((await recordOf(server, url)).expiresAt, null, 'expiresAt in the record')
      },
    })),
    {
      title: 'PATCH that stores something, sliding: the time starts anew',
      async run(ctx) {
        const inner = await ctx.store()
        // As if created ten minutes ago.
        const store = withMethods(inner, {
          create: (upload) => inner.create({ ...upload, expiresAt: (upload.expiresAt ?? 0) - 600_000 }),
        })
        const server = await ctx.serve({ store, expiration: hour })
        const url = await create(server, 10)
        const first = await expiresAt(server, url)
        await expect(await patch(server, url, 0, bytesOf(5)), 204)
        const second = await expiresAt(server, url)
        ok(second >= first + 600_000, `expires at ${second} after PATCH, at ${first} before`)
        await expect(await patch(server, url, 5), 204)
        equal(await expiresAt(server, url), second, 'expiresAt after a PATCH without bytes')
      },
    },
    {
      title: 'PATCH, not sliding: the time stays that of the creation',
      async run(ctx) {
        const server = await ctx.serve({ expiration: { ...hour, sliding: false } })
        const url = await create(server, 10)
        const first = await expiresAt(server, url)
        await until(() => Date.now() + hour.afterMs > first + 2, 'the clock moves')
        await expect(await patch(server, url, 0, bytesOf(5)), 204, { 'Upload-Expires': new Date(first).toUTCString() })
        equal(await expiresAt(server, url), first, 'expiresAt after PATCH')
      },
    },
    ...(['HEAD', 'PATCH', 'DELETE'] as const).map((method): Case => ({
      // "the Server SHOULD respond with the 404 Not Found or 410 Gone status. The latter one SHOULD be used if the
      // Server is keeping track of expired uploads."
      title: `${method} on an expired upload: 410 without Upload-Offset; 404 once it is swept`,
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const url = await create(server, 10)
        const request = async (): Promise<Response> =>
          method === 'PATCH' ? await patch(server, url, 0, bytesOf(5)) : await tus(server, method, url)
        await expire(server, url)
        await expect(await request(), 410, { 'Upload-Offset': null, 'Upload-Expires': null })
        equal((await server.handler.sweep()).removed, 1, 'uploads removed by the sweep')
        await expect(await request(), 404)
      },
    })),
    {
      title: 'PATCH on an expired upload: nothing stored, onFinish not called',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ expiration: hour, onFinish: () => void finished++ })
        const url = await create(server, 5)
        await expire(server, url)
        await expect(await patch(server, url, 0, bytesOf(5)), 410)
        await expectBytes(server, url, new Uint8Array(0))
        equal(finished, 0, 'calls of onFinish')
      },
    },
    {
      title: 'HEAD and GET on a completed upload after its time: 200, as long as it is kept',
      async run(ctx) {
        const server = await ctx.serve({ expiration: { ...hour, sliding: false }, downloads: true })
        const url = await create(server, 5)
        await expect(await patch(server, url, 0, bytesOf(5)), 204)
        await expire(server, url)
        await expectOffset(server, url, 5)
        await expect(await server.fetch(url), 200)
      },
    },
    {
      title: 'sweep(): removes what has expired unfinished, and nothing else',
      async run(ctx) {
        const store = await ctx.store()
        const server = await ctx.serve({ store, expiration: hour })
        const fresh = await createWith(server, bytesOf(3), {}, 10)
        const dead = [await create(server, 5), await create(server, 5), await create(server, 'deferred')]
        const completed = await create(server, 5)
        // The record of this one was made with offset 0 and expires like the rest, had it not been completed.
        await expect(await patch(server, completed, 0, bytesOf(5)), 204)
        for (const url of [...dead, completed]) await expire(server, url)
        const result = await server.handler.sweep()
        equal(`${result.removed} removed, ${result.skipped} skipped`, '3 removed, 0 skipped', 'result of the sweep')
        for (const url of dead) equal(await store.get(idOf(server, url)), null, 'record of an expired upload')
        await expectOffset(server, fresh, 3)
        await expectBytes(server, completed, bytesOf(5))
        equal((await server.handler.sweep()).removed, 0, 'uploads removed by a second sweep')
      },
    },
    {
      title: 'sweep() without expiration: nothing to do',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(3), {}, 10)
        equal((await server.handler.sweep()).removed, 0, 'uploads removed')
        await expectOffset(server, url, 3)
      },
    },
    {
      title: 'sweep() beside a PATCH that goes on past the time: skipped, the PATCH stores its bytes',
      async run(ctx) {
        const inner = await ctx.store()
        // As if its time had ended while the PATCH runs.
        const store = withMethods(inner, {
          async *incomplete() {
            for await (const upload of inner.incomplete()) yield { ...upload, expiresAt: Date.now() - 60_000 }
          },
        })
        const server = await ctx.serve({ store, expiration: hour })
        const url = await create(server, 10)
        const running = await stalled(server, url, 0, bytesOf(10).subarray(0, 4))
        const result = await server.handler.sweep()
        equal(`${result.removed} removed, ${result.skipped} skipped`, '0 removed, 1 skipped', 'result of the sweep')
        running.write(bytesOf(10).subarray(4))
        running.end()
        await expect(await running.response, 204, { 'Upload-Offset': '10' })
        await expectBytes(server, url, bytesOf(10))
      },
    },
    {
      title: 'sweep(), one removal fails: it is skipped, the others go; the next sweep takes it',
      async run(ctx) {
        const inner = await ctx.store()
        const errors: unknown[] = []
        let fails = 1
        const store = withMethods(inner, {
          terminate: async (upload) => {
            if (fails-- > 0) throw new StoreError('unavailable', 'out')
            await inner.terminate(upload)
          },
        })
        const onError = (error: unknown): void => void errors.push(error)
        const server = await ctx.serve({ store, expiration: hour, onError })
        const urls = [await create(server, 5), await create(server, 5), await create(server, 5)]
        for (const url of urls) await expire(server, url)
        const first = await server.handler.sweep()
        equal(`${first.removed} removed, ${first.skipped} skipped`, '2 removed, 1 skipped', 'first sweep')
        equal(errors.length, 1, 'failures that onError heard of')
        const second = await server.handler.sweep()
        equal(`${second.removed} removed, ${second.skipped} skipped`, '1 removed, 0 skipped', 'second sweep')
      },
    },
    {
      title: 'sweep(), the store cannot list: it rejects with what the store said',
      async run(ctx) {
        const failure = new StoreError('unavailable', 'out')
        const store = withMethods(await ctx.store(), {
          incomplete: () => ({
            [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }),
          }),
        })
        const server = await ctx.serve({ store, expiration: hour })
        const got = await server.handler.sweep().then(
          () => null,
          (error: unknown) => error,
        )
        ok(got === failure, `sweep() did not reject with the store's error but gave ${String(got)}`)
      },
    },
    {
      title: 'two sweeps at a time: each upload is removed once',
      async run(ctx) {
        const server = await ctx.serve({ expiration: hour })
        const urls = await Promise.all(Array.from({ length: 8 }, async () => await create(server, 5)))
        for (const url of urls) await expire(server, url)
        const results = await Promise.all([server.handler.sweep(), server.handler.sweep()])
        equal(results[0].removed + results[1].removed, 8, 'uploads removed by both')
        for (const url of urls) await expect(await head(server, url), 404)
      },
    },
  ],
}

async function expiresAt(server: Server, url: string): Promise<number> {
  return (await recordOf(server, url)).expiresAt ?? Number.NaN
}
