import { TusError, type TusErrorCode, type UploadEvent } from '../../src/index.ts'
import { base64, bytesOf } from './bodies.ts'
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
import { gate, spied } from './fakes.ts'
import { equal, expect, expectRefusal, ok, type Case, type Server, type Suite } from './support.ts'

const bytes = bytesOf(10)

function refuse(code: TusErrorCode, status?: number): never {
  throw new TusError(code, 'Not you', status === undefined ? {} : { status })
}

export const suite: Suite = {
  name: 'hooks',
  cases: [
    {
      title: 'every method: onRequest hears of operation, id and headers before the store does',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const seen: string[] = []
        const server = await ctx.serve({
          store,
          downloads: true,
          onRequest({ operation, uploadId, request }) {
            seen.push(`${operation} ${uploadId} ${request.headers.get('X-User')} ${calls.length}`)
          },
        })
        const url = `${server.url}/abc`
        const headers = { 'X-User': 'ann' }
        const asked: string[] = []
        const ask = async (expected: string, request: () => Promise<Response>) => {
          calls.length = 0
          asked.push(expected)
          await request()
        }
        await ask('options null', () => server.fetch(server.url, { method: 'OPTIONS', headers }))
        await ask('create null', () => post(server, { 'Upload-Length': '5', ...headers }))
        await ask('concatenate null', () => post(server, { 'Upload-Concat': 'final;/files/x', ...headers }))
        await ask('inspect abc', () => head(server, url, headers))
        await ask('append abc', () => patch(server, url, 0, bytes, headers))
        await ask('append abc', () => tus(server, 'POST', url, { 'X-HTTP-Method-Override': 'PATCH', ...headers }))
        await ask('terminate abc', () => tus(server, 'DELETE', url, headers))
        await ask('download abc', () => server.fetch(url, { headers }))
        // Without Tus-Resumable it asks about the file.
        await ask('download abc', () => server.fetch(url, { method: 'HEAD', headers }))
        equal(seen.join('\n'), asked.map((expected) => `${expected} ann 0`).join('\n'), 'calls of onRequest')
      },
    },
    {
      title: 'onRequest refuses: status, headers and body of the TusError, the store is not asked',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({
          store,
          onRequest() {
            const headers = { 'WWW-Authenticate': 'Bearer', 'Content-Type': 'text/plain;v=1' }
            throw new TusError('rejected', 'unused', { status: 401, headers, body: 'sign in' })
          },
        })
        for (const request of [
          post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes),
          patch(server, `${server.url}/abc`, 0, bytes),
          tus(server, 'DELETE', `${server.url}/abc`),
        ]) {
          const answer = await expect(await request, 401, { 'WWW-Authenticate': 'Bearer', 'Content-Type': /v=1$/ })
          equal(await answer.text(), 'sign in', 'body')
        }
        await expect(await head(server, `${server.url}/abc`), 401)
        equal(calls.join(), '', 'calls to the store')
      },
    },
    {
      title: 'onRequest refuses everything: preflights pass, 404 and 405 are told first, refusals have CORS headers',
      async run(ctx) {
        const server = await ctx.serve({ onRequest: () => refuse('rejected', 401) })
        const preflight = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' }
        const origin = { 'Access-Control-Allow-Origin': '*' }
        await expect(await server.fetch(server.url, { method: 'OPTIONS', headers: preflight }), 204, origin)
        await expect(await server.fetch(server.url, { method: 'OPTIONS', headers: {} }), 401)
        await expect(await tus(server, 'DELETE', server.url), 405)
        await expect(await tus(server, 'HEAD', `${server.url}/..%2fx`), 404)
        await expect(await post(server, { Origin: 'https://app.example' }), 401, origin)
      },
    },
    {
      title: 'onRequest throws anything else: 500 without details',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({
          onRequest: () => Promise.reject(new Error('secret')),
          onError: (error) => void errors.push(error),
        })
        await expectRefusal(await post(server, { 'Upload-Length': '1' }), 500, /^Internal error\n?$/)
        equal(errors.length, 1, 'failures that onError heard of')
      },
    },
    {
      title: 'what onRequest returns is the context of all other hooks of the request',
      async run(ctx) {
        const seen: string[] = []
        const note = (name: string) => (event: { context: unknown }) =>
          void seen.push(`${name} ${String(event.context)}`)
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onRequest: async ({ request }) => await Promise.resolve(request.headers.get('X-User')),
          onAccess: note('access'),
          onCreate: note('create'),
          onCreated: note('created'),
          onProgress: note('progress'),
          onFinish: note('finish'),
          onFinished: note('finished'),
          onTerminate: note('terminate'),
          onTerminated: note('terminated'),
        })
        const url = await create(server, 10, { 'X-User': 'ann' })
        await expect(await patch(server, url, 0, bytes, { 'X-User': 'bob' }), 204)
        await expect(await tus(server, 'DELETE', url, { 'X-User': 'eve' }), 204)
        const once = seen.filter((each, i) => each !== seen[i - 1])
        equal(
          once.join(),
          'create ann,created ann,access bob,progress bob,finish bob,finished bob,access eve,terminate eve,terminated eve',
          'calls',
        )
      },
    },
    ...(['not_found', 'rejected'] as const).map((code): Case => ({
      title: `onAccess refuses with ${code}: every method is answered so and nothing is changed or disturbed`,
      async run(ctx) {
        const server = await ctx.serve({
          downloads: true,
          onAccess({ request, upload }) {
            if (request.headers.get('X-User') !== upload.attributes['owner']) refuse(code)
          },
          onCreate: ({ request }) => ({ attributes: { owner: request.headers.get('X-User') ?? '' } }),
        })
        const ann = { 'X-User': 'ann' }
        const eve = { 'X-User': 'eve' }
        const status = code === 'not_found' ? 404 : 403
        const done = await create(server, 5, { ...ann, 'Upload-Concat': 'partial' })
        await expect(await patch(server, done, 0, bytes.subarray(0, 5), ann), 204)
        const url = await create(server, 10, ann)
        const running = await stalled(server, url, 0, bytes.subarray(0, 5), ann)

        for (const target of [url, done]) {
          await expect(await head(server, target, eve), status)
          await expect(await patch(server, target, 5, bytes.subarray(5), eve), status)
          await expect(await tus(server, 'DELETE', target, eve), status)
          await expect(await server.fetch(target, { headers: eve }), status)
        }
        // As for one that does not exist, where it is hidden.
        const final = await post(server, { 'Upload-Concat': `final;${done}`, ...eve })
        if (code === 'rejected') await expect(final, 403)
        else await expectRefusal(final, 400, new RegExp(`names ${idOf(server, done)}, which is not an upload here`))

        running.write(bytes.subarray(5))
        running.end()
        await expect(await running.response, 204, { 'Upload-Offset': '10' })
        await expectBytes(server, url, bytes)
        await expect(await server.fetch(url, { headers: ann }), 200)
      },
    })),
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
      title: 'POST with all bytes: replies of onCreate and onFinish are added up, the protocol’s headers stay',
      async run(ctx) {
        const server = await ctx.serve({
          onCreate: () => ({ reply: { headers: { 'X-A': '1', 'X-B': '1', location: '/elsewhere' } } }),
          onFinish: () => ({ status: 200, headers: { 'X-B': '2', 'Content-Type': 'text/plain' }, body: 'done' }),
        })
        const answer = await post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes)
        await expect(answer, 200, { 'X-A': '1', 'X-B': '2', 'Upload-Offset': '10', Location: /\/files\// })
        equal(await answer.text(), 'done', 'body')
      },
    },
    {
      title: 'PATCH with the last bytes, onFinish replies with a body: 200 with it; the next HEAD without',
      async run(ctx) {
        const server = await ctx.serve({
          onFinish: ({ upload }) => ({ headers: { 'Content-Type': 'text/plain', 'X-Url': '/u' }, body: upload.id }),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204, { 'X-Url': null })
        const answer = await expect(await patch(server, url, 5, bytes.subarray(5)), 200, { 'X-Url': '/u' })
        equal(await answer.text(), idOf(server, url), 'body')
        await expectOffset(server, url, 10, { 'X-Url': null })
      },
    },
    {
      title: 'HEAD that runs a failed onFinish again: its headers, no body, the same event id',
      async run(ctx) {
        const ids: string[] = []
        const server = await ctx.serve({
          onFinish({ eventId }) {
            ids.push(eventId)
            if (ids.length === 1) throw new Error('out')
            return { headers: { 'X-Url': '/u' }, body: 'done' }
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        await expectOffset(server, url, 10, { 'X-Url': '/u' })
        equal(ids.length, 2, 'calls of onFinish')
        equal(ids[0], ids[1], 'event ids')
      },
    },
    {
      title: 'PATCH, onFinish replies with what is no success: 500, and not completed',
      async run(ctx) {
        const server = await ctx.serve({ onFinish: () => ({ status: 204, body: 'text' }) })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        equal((await recordOf(server, url)).completed, false, 'completed in the record')
      },
    },
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
      title: 'PATCH that completes the last partial of a waiting final: the final’s reply is not for it',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          onFinish({ upload, request }) {
            seen.push(`${upload.concat?.type} ${request?.method}`)
            return { status: 200, headers: { 'X-Final': '1' }, body: 'done' }
          },
        })
        const one = await create(server, 10, { 'Upload-Concat': 'partial' })
        await expect(await post(server, { 'Upload-Concat': `final;${one}` }), 201, { 'X-Final': null })
        await expect(await patch(server, one, 0, bytes), 204, { 'X-Final': null })
        equal(seen.join(), 'final PATCH', 'calls of onFinish')
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
    ...[false, true].map((terminate): Case => ({
      title: `PATCH, onProgress stops the upload${terminate ? ' and removes it' : ''}: answered with the error`,
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress({ upload, stop }) {
            seen.push('progress')
            if (upload.offset > 0) stop(new TusError('rejected', 'Quota used up', { status: 402 }), { terminate })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 3_000_000)
        const answer = await patch(server, url, 0, bytesOf(2_900_000))
        await expect(answer, 402)
        equal((await answer.text()).trim(), 'Quota used up', 'body')
        if (terminate) await expect(await head(server, url), 404)
        else ok((await recordOf(server, url)).offset > 0, 'nothing was kept')
        ok(!seen.includes('finish'), 'onFinish was called')
        equal(seen.at(-1) === 'terminated', terminate, 'onTerminated was called')
      },
    })),
    {
      title: 'PATCH with all bytes, onProgress stops it before it returns: not finished; HEAD may go on',
      async run(ctx) {
        let stops = 1
        let finished = 0
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            await Promise.resolve()
            if (stops-- > 0) stop(new TusError('rejected', 'Not yet', { status: 402 }))
          },
          onFinish: () => void finished++,
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 402)
        equal(finished, 0, 'calls of onFinish')
        await expectOffset(server, url, 10)
        equal(finished, 1, 'calls of onFinish after HEAD')
      },
    },
    {
      title: 'PATCH with all bytes, onProgress stops and removes it before it returns: gone, never finished',
      async run(ctx) {
        const seen: string[] = []
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            await Promise.resolve()
            stop(new TusError('rejected', 'A virus'), { terminate: true })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 10)
        await expectRefusal(await patch(server, url, 0, bytes), 403, /^A virus\n$/)
        await expect(await head(server, url), 404)
        equal(seen.join(), 'terminated', 'calls')
      },
    },
    {
      title:
        'waitForProgress, PATCH with half of the bytes: answered after onProgress has returned, with what it decides',
      async run(ctx) {
        const [begun, first] = [gate(), gate()]
        let isAnswered = false
        const server = await ctx.serve({
          progressIntervalMs: 0,
          waitForProgress: true,
          async onProgress({ stop, upload }) {
            if (upload.offset > 5) return
            begun.open()
            await first.opened
            stop(new TusError('rejected', 'Not yet', { status: 402 }))
          },
        })
        const [url, other] = [await create(server, 10), await create(server, 10)]
        const answer = patch(server, url, 0, bytes.subarray(0, 5)).finally(() => (isAnswered = true))
        await begun.opened
        // Time enough for an answer that waits for nothing.
        for (let n = 0; n < 10; n++) await expectOffset(server, other, 0)
        ok(!isAnswered, 'answered before onProgress has returned')
        first.open()
        await expect(await answer, 402)
        await expectOffset(server, url, 5)
        await expect(await patch(server, url, 5, bytes.subarray(5)), 204)
      },
    },
    {
      title: 'onProgress of one PATCH stops and removes the upload while the next, the last one, runs: never finished',
      async run(ctx) {
        const seen: string[] = []
        const first = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            if (seen.push('progress') > 1) return
            await first.opened
            stop(new TusError('rejected', 'A virus'), { terminate: true })
          },
          onFinish: () => void seen.push('finish'),
          onTerminated: () => void seen.push('terminated'),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        const last = await stalled(server, url, 5, bytes.subarray(5, 6))
        last.write(bytes.subarray(6))
        last.end()
        first.open()
        await expect(await last.response, 403)
        await expect(await head(server, url), 404)
        ok(!seen.includes('finish') && seen.at(-1) === 'terminated', seen.join())
      },
    },
    {
      title: 'stop called while onFinish runs: too late, the PATCH succeeds',
      async run(ctx) {
        let stop = (): void => undefined
        const server = await ctx.serve({
          progressIntervalMs: 0,
          onProgress(event) {
            stop = () => event.stop(new TusError('rejected', 'too late'))
          },
          onFinish: () => stop(),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204, { 'Upload-Offset': '10' })
        await expectOffset(server, url, 10)
      },
    },
    {
      title: 'DELETE while onProgress of an earlier PATCH runs: onTerminate waits for it',
      async run(ctx) {
        const seen: string[] = []
        const { opened, open } = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress() {
            seen.push('progress<')
            await opened
            seen.push('progress>')
          },
          onTerminate: () => void seen.push('terminate'),
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        const removed = tus(server, 'DELETE', url)
        open()
        await expect(await removed, 204)
        equal(seen.join(), 'progress<,progress>,terminate', 'calls')
      },
    },
    {
      title: 'POST with all bytes, replies that are valid alone but not together: refused before it is completed',
      async run(ctx) {
        const server = await ctx.serve({
          generateId: () => 'mine',
          onCreate: () => ({ reply: { body: 'x' } }),
          onFinish: () => ({ status: 204 }),
        })
        await expect(await post(server, { 'Upload-Length': '10', 'Content-Type': octets }, bytes), 500)
        ok((await server.store.get('mine'))?.completed !== true, 'it was completed')
      },
    },
    {
      title: 'PATCH, onFinish fails and then replies with a redirect: HEAD answers 200 with its headers, not 302',
      async run(ctx) {
        let calls = 0
        const server = await ctx.serve({
          onFinish() {
            if (++calls === 1) throw new Error('out')
            return { status: 302, headers: { Location: '/done' }, body: 'done' }
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 500)
        await expectOffset(server, url, 10, { Location: '/done' })
        equal(calls, 2, 'calls of onFinish')
      },
    },
    {
      title: 'a reply with headers of the protocol: they stay as they are',
      async run(ctx) {
        const headers = { 'tus-resumable': '9', 'Content-Length': '3', 'cache-control': 'public', 'Upload-Offset': '1' }
        const server = await ctx.serve({ onFinish: () => ({ headers: { ...headers, 'X-A': '1' } }) })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes), 204, {
          'Tus-Resumable': '1.0.0',
          'Cache-Control': 'no-store',
          'Content-Length': null,
          'Upload-Offset': '10',
          'X-A': '1',
        })
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
      title: 'onProgress stops the upload when its PATCH is over: the next one is answered with the error, once',
      async run(ctx) {
        const { opened, open } = gate()
        const stopped = gate()
        let calls = 0
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ stop }) {
            if (++calls > 1) return
            await opened
            stop(new TusError('rejected', 'Not yet', { status: 402 }))
            stopped.open()
          },
        })
        const url = await create(server, 10)
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 204)
        open()
        await stopped.opened
        await expect(await patch(server, url, 5, bytes.subarray(5, 7)), 402)
        await expectOffset(server, url, 5)
        await expect(await patch(server, url, 5, bytes.subarray(5)), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'onProgress that takes its time: one call after the other, all over before onFinish',
      async run(ctx) {
        const seen: string[] = []
        const { opened, open } = gate()
        const server = await ctx.serve({
          progressIntervalMs: 0,
          async onProgress({ upload }) {
            seen.push(`begin ${upload.offset}`)
            if (seen.length === 1) await opened
            seen.push(`end ${upload.offset}`)
          },
          onFinish: () => void seen.push('finish'),
        })
        const url = await create(server, 20)
        await expect(await patch(server, url, 0, bytes), 204)
        const last = patch(server, url, 10, bytes)
        equal(await Promise.race([last.then(() => 'answered'), Promise.resolve('open')]), 'open', 'the last PATCH')
        open()
        await expect(await last, 204)
        const pairs = seen.slice(0, -1)
        ok(
          pairs.every((each, i) => i % 2 === 1 || pairs[i + 1] === each.replace('begin', 'end')),
          `calls overlap: ${seen.join()}`,
        )
        equal(seen.at(-1), 'finish', 'last call')
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
