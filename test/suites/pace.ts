import { bytesOf, stream } from './bodies.ts'
import { create, expectBytes, expectOffset, held, octets, offsetOf, patch, post, stalled } from './client.ts'
import { withMethods } from './fakes.ts'
import { expect, ok, until, within, type Case, type Server, type Suite } from './support.ts'

const bytes = bytesOf(2000)

/** Writes a byte every few milliseconds until the answer is there; tells how many. */
async function drip(
  request: { write(bytes: Uint8Array): void; readonly response: Promise<Response> },
  from: number,
): Promise<number> {
  let answered = false
  request.response.then(
    () => (answered = true),
    () => (answered = true),
  )
  let at = from
  while (!answered && at < bytes.length) {
    request.write(bytes.subarray(at, at + 1))
    at++
    const next = Date.now() + 10
    await until(() => answered || Date.now() >= next, 'the client’s pace')
  }
  return at
}

/** What was kept: the first bytes at least, and not all. */
async function keptBefore(server: Server, url: string): Promise<number> {
  const offset = await offsetOf(server, url)
  ok(offset >= 10 && offset < bytes.length, `${offset} bytes kept`)
  return offset
}

export const suite: Suite = {
  name: 'pace',
  cases: [
    ...[60_000, 0].map((idleTimeoutMs): Case => ({
      title: `PATCH slower than minRate, never still, idleTimeoutMs ${idleTimeoutMs}: 503, bytes kept, the rest follows`,
      async run(ctx) {
        const server = await ctx.serve({ minRate: 10_000, minRateWindowMs: 150, idleTimeoutMs })
        const url = await create(server, bytes.length)
        const request = await stalled(server, url, 0, bytes.subarray(0, 10))
        await drip(request, 10)
        await expect(await within(request.response, 'the end of the slow PATCH'), 503)
        const offset = await keptBefore(server, url)
        await expectBytes(server, url, bytes.subarray(0, offset))
        await expect(await patch(server, url, offset, bytes.subarray(offset)), 204)
        await expectBytes(server, url, bytes)
      },
    })),
    {
      title: 'PATCH that is quick and then stands still, minRate: 503 after its window, bytes kept',
      async run(ctx) {
        const server = await ctx.serve({ minRate: 1000, minRateWindowMs: 100, idleTimeoutMs: 0 })
        const url = await create(server, bytes.length)
        const request = await stalled(server, url, 0, bytes.subarray(0, 1000))
        await expect(await within(request.response, 'the end of the window'), 503)
        await expectOffset(server, url, 1000)
      },
    },
    {
      title: 'POST with bytes slower than minRate: bytes kept under its id',
      async run(ctx) {
        const server = await ctx.serve({ minRate: 10_000, minRateWindowMs: 150, generateId: () => 'mine' })
        const headers = { 'Upload-Length': String(bytes.length), 'Content-Type': octets }
        const request = await held(server, bytes.subarray(0, 10), (body) => post(server, headers, body))
        await drip(request, 10)
        await expect(await within(request.response, 'the end of the slow POST'), [201, 503])
        const url = `${server.url}/mine`
        await expectBytes(server, url, bytes.subarray(0, await keptBefore(server, url)))
      },
    },
    {
      title: 'PATCH a little faster than minRate over many windows: 204',
      async run(ctx) {
        const server = await ctx.serve({ minRate: 1000, minRateWindowMs: 250, idleTimeoutMs: 0 })
        const url = await create(server, bytes.length)
        const request = await stalled(server, url, 0, bytes.subarray(0, 100))
        const start = Date.now()
        for (let at = 100; at < bytes.length; at += 100) {
          const next = start + at * 0.4
          await until(() => Date.now() >= next, 'the client’s pace')
          request.write(bytes.subarray(at, at + 100))
        }
        request.end()
        await expect(await request.response, 204, { 'Upload-Offset': String(bytes.length) })
      },
    },
    {
      title: 'PATCH quicker than minRate into a store that is slower: 204, the time is not the client’s',
      async run(ctx) {
        const store = await ctx.store()
        const slow = withMethods(store, {
          append: (upload, body, options) => store.append(upload, slowly(body), options),
        })
        const server = await ctx.serve({ store: slow, minRate: 100_000, minRateWindowMs: 100 })
        const url = await create(server, bytes.length)
        const chunks = Array.from({ length: 20 }, (_, n) => bytes.subarray(n * 100, (n + 1) * 100))
        await expect(await patch(server, url, 0, stream(...chunks)), 204, { 'Upload-Offset': String(bytes.length) })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH with a checksum, slower than minRate: 503, nothing kept',
      async run(ctx) {
        const server = await ctx.serve({ minRate: 10_000, minRateWindowMs: 150 })
        const url = await create(server, bytes.length)
        const headers = { 'Upload-Checksum': 'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=' }
        const request = await stalled(server, url, 0, bytes.subarray(0, 10), headers)
        await drip(request, 10)
        await expect(await within(request.response, 'the end of the slow PATCH'), 503)
        await expectOffset(server, url, 0)
      },
    },
  ],
}

async function* slowly(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of body) {
    const ready = Date.now() + 20
    await until(() => Date.now() >= ready, 'the store')
    yield chunk
  }
}
