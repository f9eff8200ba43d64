import { bytesOf, controlled, endless } from './bodies.ts'
import {
  create,
  createWith,
  cut,
  expectBytes,
  expectOffset,
  head,
  held,
  longest,
  octets,
  patch,
  post,
  stalled,
  tus,
} from './client.ts'
import { spied } from './fakes.ts'
import { equal, expect, ok, until, within, type Case, type Server, type Suite } from './support.ts'

const bytes = bytesOf(100_000)

export const suite: Suite = {
  name: 'interruption',
  cases: [
    ...[1, 2, 4095, 65_537, 99_999].map((at): Case => ({
      // Requests, PATCH: "The Server SHOULD always attempt to store as much of the received data as possible."
      title: `PATCH whose connection breaks after ${at} bytes: all of them kept, the rest follows`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, bytes.length)
        await cut(server, url, 0, bytes.subarray(0, at))
        await expectOffset(server, url, at)
        await expectBytes(server, url, bytes.subarray(0, at))
        await expect(await patch(server, url, at, bytes.subarray(at)), 204, { 'Upload-Offset': '100000' })
        await expectBytes(server, url, bytes)
      },
    })),
    {
      title: 'PATCH whose connection breaks before its first byte: nothing changed',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytes.subarray(0, 10), {}, 100)
        await cut(server, url, 10, new Uint8Array(0))
        await expectOffset(server, url, 10)
      },
    },
    {
      title: 'PATCH whose connection breaks after its last byte: complete, finished once',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const url = await create(server, 100)
        const request = await stalled(server, url, 0, bytes.subarray(0, 100))
        request.fail()
        await request.response.catch(() => null)
        await expectOffset(server, url, 100)
        await expectBytes(server, url, bytes.subarray(0, 100))
        equal(finished, 1, 'calls of onFinish')
      },
    },
    {
      title: 'PATCHes that break one after the other: no byte lost, none twice',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, bytes.length)
        for (let at = 0; at < 20; at++) {
          await cut(server, url, at * 3000, bytes.subarray(at * 3000, (at + 1) * 3000))
          await expectOffset(server, url, (at + 1) * 3000)
        }
        await expect(await patch(server, url, 60_000, bytes.subarray(60_000)), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH given up by its client’s signal: bytes kept, the upload is free at once',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const gone = new AbortController()
        const request = await held(server, bytes.subarray(0, 60), async (body) => {
          return await patch(server, url, 0, body, {}, { signal: gone.signal })
        })
        gone.abort()
        await request.response.catch(() => null)
        await within(expectOffset(server, url, 60), 'HEAD after the client has gone')
        await expect(await patch(server, url, 60, bytes.subarray(60, 100)), 204)
        await expectBytes(server, url, bytes.subarray(0, 100))
      },
    },
    {
      // "They MAY do so by ... setting read/write timeouts."
      title: 'PATCH that stands still: 503 after idleTimeoutMs, bytes kept, the upload is free',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 50 })
        const url = await create(server, 100)
        const body = controlled(bytes.subarray(0, 60))
        await expect(await within(patch(server, url, 0, body.stream), 'the idle timeout'), 503)
        await expectOffset(server, url, 60)
        await expect(await patch(server, url, 60, bytes.subarray(60, 100)), 204)
        await expectBytes(server, url, bytes.subarray(0, 100))
      },
    },
    {
      title: 'PATCH that never sends a byte: 503 after idleTimeoutMs',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 50 })
        const url = await create(server, 100)
        await expect(await within(silent(server, url, 0), 'the idle timeout'), 503)
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'POST with bytes that stands still: 503 after idleTimeoutMs, bytes kept under its id',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 50, generateId: () => 'mine' })
        const headers = { 'Upload-Length': '100', 'Content-Type': octets }
        const response = post(server, headers, controlled(bytes.subarray(0, 60)).stream)
        await expect(await within(response, 'the idle timeout'), [201, 503])
        await expectOffset(server, `${server.url}/mine`, 60)
      },
    },
    {
      title: 'PATCH slower in all than idleTimeoutMs but never still for so long: 204',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 400 })
        const url = await create(server, 20)
        const request = await stalled(server, url, 0, bytes.subarray(0, 1))
        const start = Date.now()
        for (let at = 1; at < 20; at++) {
          const next = start + at * 30
          await until(() => Date.now() >= next, 'the client’s pace')
          request.write(bytes.subarray(at, at + 1))
        }
        request.end()
        await expect(await request.response, 204, { 'Upload-Offset': '20' })
        ok(Date.now() - start > 400, 'the body was quicker than the timeout')
        await expectBytes(server, url, bytes.subarray(0, 20))
      },
    },
    {
      title: 'PATCH that stands still, idleTimeoutMs 0: waits and goes on',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 0 })
        const url = await create(server, 100)
        const request = await stalled(server, url, 0, bytes.subarray(0, 60))
        const start = Date.now()
        await until(() => Date.now() > start + 100, 'a pause')
        request.write(bytes.subarray(60, 100))
        request.end()
        await expect(await request.response, 204, { 'Upload-Offset': '100' })
      },
    },
    {
      title: 'close() while a PATCH stands still: 503, bytes kept, close() resolves',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const request = await stalled(server, url, 0, bytes.subarray(0, 60))
        await within(server.handler.close(), 'close() beside a stalled PATCH')
        await expect(await within(request.response, 'the answer to the stalled PATCH'), 503)
        await expectBytes(server, url, bytes.subarray(0, 60))
        const next = await ctx.serve({ store: server.store })
        const moved = next.url + url.slice(server.url.length)
        await expectOffset(next, moved, 60)
        await expect(await patch(next, moved, 60, bytes.subarray(60, 100)), 204)
        await expectBytes(next, moved, bytes.subarray(0, 100))
      },
    },
    {
      title: 'close() while PATCHes pour in without end: each 503, close() resolves',
      async run(ctx) {
        const server = await ctx.serve()
        const urls = await Promise.all([1, 2, 3].map(() => create(server, longest(server))))
        const answers = urls.map((url) => patch(server, url, 0, endless(bytesOf(1000))))
        await until(() => server.taken() > 10_000, 'bytes arrive')
        await within(server.handler.close(), 'close() beside endless PATCHes')
        for (const answer of answers) await expect(await within(answer, 'the answer'), 503)
      },
    },
    {
      title: 'POST and PATCH after close(): 503, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await server.handler.close()
        await expect(await post(server, { 'Upload-Length': '5' }), 503, { Location: null })
        await expect(await patch(server, url, 0, bytes.subarray(0, 5)), 503)
        await expectBytes(server, url, new Uint8Array(0))
      },
    },
    {
      title: 'close() without requests, twice: resolves',
      async run(ctx) {
        const server = await ctx.serve()
        await within(server.handler.close(), 'the first close()')
        await within(server.handler.close(), 'the second close()')
      },
    },
    ...(['HEAD', 'PATCH', 'DELETE'] as const).map((method): Case => ({
      // A dead request's lock blocks the resume: the newest request evicts the holder once it has flushed.
      title: `${method} beside a PATCH that stands still: answered within seconds, the holder 423, its bytes count`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const holder = await stalled(server, url, 0, bytes.subarray(0, 60))
        if (method === 'HEAD') {
          await within(expectOffset(server, url, 60, { 'Upload-Length': '100' }), 'HEAD beside a stalled PATCH')
        } else if (method === 'PATCH') {
          const response = within(patch(server, url, 60, bytes.subarray(60, 100)), 'PATCH beside a stalled PATCH')
          await expect(await response, 204, { 'Upload-Offset': '100' })
          await expectBytes(server, url, bytes.subarray(0, 100))
        } else {
          await expect(await within(tus(server, 'DELETE', url), 'DELETE beside a stalled PATCH'), 204)
          await expect(await head(server, url), 404)
        }
        await expect(await within(holder.response, 'the answer to the holder'), 423)
      },
    })),
    {
      title: 'HEAD beside a PATCH that stands still without a byte: answered within seconds, the holder 423',
      async run(ctx) {
        const { store, calls } = spied(await ctx.store())
        const server = await ctx.serve({ store })
        const url = await createWith(server, bytes.subarray(0, 10), {}, 100)
        calls.length = 0
        const holder = silent(server, url, 10)
        await until(() => calls.includes('append'), 'the PATCH is at work')
        await within(expectOffset(server, url, 10), 'HEAD beside a stalled PATCH')
        await expect(await within(holder, 'the answer to the holder'), 423)
      },
    },
    {
      title: 'PATCH at the old offset beside the PATCH that stands still: 409 with the offset to go on from',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const holder = await stalled(server, url, 0, bytes.subarray(0, 60))
        const response = await within(patch(server, url, 0, bytes.subarray(0, 100)), 'PATCH beside a stalled PATCH')
        await expect(response, 409, { 'Upload-Offset': '60' })
        await expect(await within(holder.response, 'the answer to the holder'), 423)
        await expectBytes(server, url, bytes.subarray(0, 60))
      },
    },
    {
      title: 'PATCHes that evict each other one after the other: all bytes count, in order',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 1000)
        const holders = []
        for (let at = 0; at < 900; at += 100) {
          holders.push(await stalled(server, url, at, bytes.subarray(at, at + 100)))
        }
        await within(expectOffset(server, url, 900), 'HEAD beside the last')
        for (const { response } of holders) await expect(await within(response, 'the answer to a holder'), 423)
        await expect(await patch(server, url, 900, bytes.subarray(900, 1000)), 204)
        await expectBytes(server, url, bytes.subarray(0, 1000))
      },
    },
    {
      title: 'five HEADs beside a PATCH that stands still: all answered within seconds',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100)
        const holder = await stalled(server, url, 0, bytes.subarray(0, 60))
        const answers = [1, 2, 3, 4, 5].map(() => head(server, url))
        for (const answer of answers) {
          await expect(await within(answer, 'HEAD'), 200, { 'Upload-Offset': '60' })
        }
        await expect(await within(holder.response, 'the answer to the holder'), 423)
      },
    },
    {
      title: 'HEAD beside a PATCH that pours in without end: answered within seconds, an offset that was stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, longest(server))
        const holder = patch(server, url, 0, endless(bytes.subarray(0, 4096)))
        await until(() => server.taken() > 100_000, 'bytes arrive')
        const response = await expect(await within(head(server, url), 'HEAD'), 200, { 'Upload-Offset': /^\d+$/ })
        await expect(await within(holder, 'the answer to the holder'), 423)
        const offset = Number(response.headers.get('Upload-Offset'))
        ok(offset >= 100_000 && offset <= server.taken(), `offset ${offset} of ${server.taken()} bytes taken`)
        await expectOffset(server, url, offset)
      },
    },
    {
      title: 'PATCH on another upload beside one that stands still: neither is disturbed',
      async run(ctx) {
        const server = await ctx.serve()
        const [one, other] = [await create(server, 100), await create(server, 100)]
        const holder = await stalled(server, one, 0, bytes.subarray(0, 60))
        await expect(await patch(server, other, 0, bytes.subarray(0, 100)), 204)
        await expectOffset(server, other, 100)
        holder.write(bytes.subarray(60, 100))
        holder.end()
        await expect(await holder.response, 204, { 'Upload-Offset': '100' })
      },
    },
  ],
}

/** A PATCH of which nothing but the headers arrives. `fetch` would wait for a first byte before it sends them. */
async function silent(server: Server, url: string, offset: number): Promise<Response> {
  return await server.fetchRaw(new URL(url).pathname, {
    method: 'PATCH',
    headers: { 'Tus-Resumable': '1.0.0', 'Upload-Offset': String(offset), 'Content-Type': octets },
    body: controlled().stream,
  })
}
