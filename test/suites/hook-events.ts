/** What hooks hear of that has happened: each event once, in order, with an id of its own. */
import { TusError, type UploadEvent } from '../../src/index.ts'
import { base64, bytesOf } from './bodies.ts'
import {
  create,
  createWith,
  expire,
  expectBytes,
  head,
  locationOf,
  octets,
  patch,
  post,
  recordOf,
  tus,
} from './client.ts'
import { refuse } from './fakes.ts'
import { equal, expect, ok, type Server, type Suite } from './support.ts'

const bytes = bytesOf(10)

export const suite: Suite = {
  name: 'hook events',
  cases: [
    {
      title:
        'partial uploads: onPartialFinish and onPartialFinished for each, onFinish and onFinished for the final one',
      async run(ctx) {
        const seen: string[] = []
        const note = (name: string) => (event: UploadEvent) =>
          void seen.push(`${name} ${event.upload.concat?.type} ${event.upload.offset}`)
        const server: Server = await ctx.serve({
          onPartialFinish: note('partial'),
          async onPartialFinished(event) {
            equal(
              (await recordOf(server, `${server.url}/${event.upload.id}`)).completed,
              true,
              'completed in the record',
            )
            note('recorded')(event)
          },
          onFinish: note('finish'),
          onFinished: note('finished'),
        })
        const one = await create(server, 5, { 'Upload-Concat': 'partial' })
        await expect(await patch(server, one, 0, bytes.subarray(0, 5)), 204)
        await expect(await post(server, { 'Upload-Concat': `final;${one} ${one}` }), 201)
        equal(seen.join(), 'partial partial 5,recorded partial 5,finish final 10,finished final 10', 'calls')
      },
    },
    {
      title: 'onCreated, onFinished and onTerminated fail: nothing is changed, onError hears of them',
      async run(ctx) {
        const errors: string[] = []
        const fails = (name: string) => (): never => {
          throw new TusError('rejected', name)
        }
        const server = await ctx.serve({
          onCreated: fails('created'),
          onFinished: fails('finished'),
          onTerminated: fails('terminated'),
          onError: (error) => void errors.push(error instanceof Error ? error.message : ''),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204)
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        await expect(await tus(server, 'DELETE', url), 204)
        equal(errors.join(), 'created,finished,terminated', 'failures that onError heard of')
      },
    },
    {
      title: 'POST with bytes under a wrong checksum: onCreated, then onTerminated for the upload that went',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          onCreated: ({ upload }) => void seen.push(upload.id),
          onTerminated: ({ upload }) => void seen.push(upload.id),
          onFinish: () => void seen.push('finish'),
        })
        const wrong = { 'Upload-Checksum': `sha1 ${base64(bytesOf(20))}` }
        await expect(await post(server, { 'Upload-Length': '10', 'Content-Type': octets, ...wrong }, bytes), 460)
        equal(seen.length, 2, 'calls')
        equal(seen[0], seen[1], 'ids')
      },
    },
    {
      title: 'DELETE, onTerminate throws: the upload stays and onTerminated is not called',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          onTerminate: () => refuse('rejected'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await createWith(server, bytes)
        await expect(await tus(server, 'DELETE', url), 403)
        await expectBytes(server, url, bytes)
        equal(seen.length, 0, 'calls of onTerminated')
      },
    },
    {
      title: 'sweep: an expired final upload that cannot be finished is removed all the same',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({
          expiration: { afterMs: 3_600_000 },
          onFinish: () => Promise.reject(new Error('out')),
          onError: (error) => void errors.push(error),
        })
        const one = await create(server, 10, { 'Upload-Concat': 'partial' })
        const final = await locationOf(server, await post(server, { 'Upload-Concat': `final;${one}` }))
        await expect(await patch(server, one, 0, bytes), 204)
        equal((await server.handler.sweep()).removed, 0, 'removed before its time')
        await expire(server, final)
        equal((await server.handler.sweep()).removed, 1, 'removed')
        await expect(await head(server, final), 404)
      },
    },
    {
      title: 'sweep: onExpire before an expired upload goes; it stays while the hook fails, with one event id',
      async run(ctx) {
        const ids: string[] = []
        const errors: unknown[] = []
        const server = await ctx.serve({
          expiration: { afterMs: 0 },
          onExpire({ eventId, request }) {
            ids.push(`${eventId} ${request === null}`)
            if (ids.length === 1) throw new Error('out')
          },
          onError: (error) => void errors.push(error),
        })
        const url = await create(server, 10)
        equal((await server.handler.sweep()).removed, 0, 'removed while the hook fails')
        await recordOf(server, url)
        equal((await server.handler.sweep()).removed, 1, 'removed')
        equal(ids.length, 2, 'calls of onExpire')
        equal(ids[0], ids[1], 'event ids')
        ok(ids[0]?.endsWith(' true') === true, 'a sweep has no request')
        equal(errors.length, 1, 'failures that onError heard of')
      },
    },
    {
      title: 'event ids: ASCII without dots and spaces, whatever the upload is called',
      async run(ctx) {
        const seen: string[] = []
        let uploads = 0
        const server = await ctx.serve({
          generateId: () => `grüße/a b.c!(d)'${++uploads}`,
          onCreated: ({ eventId }) => void seen.push(eventId),
          onFinish: ({ eventId }) => void seen.push(eventId),
        })
        await createWith(server, bytes)
        await createWith(server, bytes)
        ok(
          seen.every((id) => /^[\w%-]+$/.test(id)),
          seen.join(' '),
        )
        equal(new Set(seen).size, 4, 'different event ids')
      },
    },
    {
      title: '200 uploads at the same time: hooks of each in order, event ids all different',
      async run(ctx) {
        const calls = new Map<string, string[]>()
        const ids = new Set<string>()
        let events = 0
        const note = (name: string) => async (event: UploadEvent) => {
          events++
          ids.add(event.eventId)
          const of = calls.get(event.upload.id) ?? []
          calls.set(event.upload.id, of)
          of.push(`${name}<`)
          await Promise.resolve()
          of.push(`${name}>`)
        }
        const server: Server = await ctx.serve({
          progressIntervalMs: 0,
          onCreated: note('created'),
          onProgress: note('progress'),
          onFinish: note('finish'),
          onTerminate: note('terminate'),
        })
        const upload = async (n: number) => {
          const url = await create(server, 10)
          await expect(await patch(server, url, 0, bytesOf(5, n)), 204)
          await expect(await patch(server, url, 5, bytesOf(5, n + 1)), 204)
          await expect(await tus(server, 'DELETE', url), 204)
        }
        await Promise.all(Array.from({ length: 200 }, (_, n) => upload(n)))
        equal(calls.size, 200, 'uploads')
        for (const of of calls.values()) {
          ok(
            /^created<,created>,(progress<,progress>,)*finish<,finish>,terminate<,terminate>$/.test(of.join()),
            of.join(),
          )
        }
        // The terminate hook's id is apart from those of all others; progress has one for each offset.
        equal(ids.size, events, 'different event ids')
      },
    },
  ],
}
