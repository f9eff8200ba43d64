import { bytesOf, checksum, endless, stream } from './bodies.ts'
import {
  expectBytes,
  expectOffset,
  held,
  incomplete,
  locationOf,
  octets,
  patch,
  post,
  recordOf,
  stored,
  type Headers,
} from './client.ts'
import { equal, expect, fail, within, type Bytes, type Case, type Init, type Server, type Suite } from './support.ts'

const bytes = bytesOf(100)

export const suite: Suite = {
  name: 'creation-with-upload',
  cases: [
    ...['declared', 'streamed'].map((how): Case => ({
      // Creation With Upload: "MUST include the Upload-Offset header in the response and MUST set its value to the
      // offset of the upload after applying the accepted bytes."
      title: `POST with all bytes, ${how}: 201 with Location and the full offset, finished once`,
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const body = how === 'declared' ? bytes : stream(bytes.subarray(0, 33), bytes.subarray(33))
        const response = await send(server, { 'Upload-Length': '100' }, body)
        await expect(response, 201, { 'Upload-Offset': '100' })
        const url = await locationOf(server, response)
        await expectBytes(server, url, bytes)
        await expectOffset(server, url, 100)
        equal(finished, 1, 'calls of onFinish')
      },
    })),
    ...(['HEAD', 'an empty PATCH'] as const).map((method): Case => ({
      title: `POST with all bytes, onFinish fails: 500, the bytes kept under its id; ${method} runs it again and completes`,
      async run(ctx) {
        const ids: string[] = []
        const server = await ctx.serve({
          generateId: () => 'mine',
          onFinish: ({ eventId }) => {
            ids.push(eventId)
            if (ids.length === 1) throw new Error('out')
          },
        })
        await expect(await send(server, { 'Upload-Length': '100' }, bytes), 500)
        const url = `${server.url}/mine`
        equal((await recordOf(server, url)).completed, false, 'completed after the failure')
        if (method === 'HEAD') await expectOffset(server, url, 100)
        else await expect(await patch(server, url, 100), 204, { 'Upload-Offset': '100' })
        equal((await recordOf(server, url)).completed, true, 'completed in the record')
        await expectBytes(server, url, bytes)
        equal(ids.length, 2, 'calls of onFinish')
        equal(new Set(ids).size, 1, 'event ids')
      },
    })),
    {
      title: 'POST with the first bytes: 201 with their number, PATCH goes on from there',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await send(server, { 'Upload-Length': '100' }, bytes.subarray(0, 40))
        await expect(response, 201, { 'Upload-Offset': '40' })
        const url = await locationOf(server, response)
        await expectOffset(server, url, 40)
        await expect(await patch(server, url, 40, bytes.subarray(40)), 204, { 'Upload-Offset': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'POST with the right type and no bytes: 201, offset 0 or none told',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await send(server, { 'Upload-Length': '100' }, new Uint8Array(0))
        await expectOffset(server, await locationOf(server, response), 0)
        equal(response.headers.get('Upload-Offset') ?? '0', '0', 'Upload-Offset')
      },
    },
    ...['text/plain', 'application/octet-stream', null].map((type): Case => ({
      // "The Client MUST include the Content-Type: application/offset+octet-stream header."
      title: `POST with bytes and Content-Type ${type ?? 'missing'}: 415, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const headers = { 'Upload-Length': '100', ...(type === null ? {} : { 'Content-Type': type }) }
        await expect(await post(server, headers, bytes), 415)
        await expectNothing(server)
      },
    })),
    ...['declared', 'streamed'].map((how): Case => ({
      title: `POST with one byte more than Upload-Length, ${how}: 413, no trace of it`,
      async run(ctx) {
        const server = await ctx.serve()
        const body = how === 'declared' ? bytes : stream(bytes.subarray(0, 50), bytes.subarray(50))
        await expect(await send(server, { 'Upload-Length': '99' }, body), 413)
        await expectNothing(server)
      },
    })),
    ...['declared', 'streamed'].map((how): Case => ({
      title: `POST with deferred length and one byte more than maxSize, ${how}: 413, no trace of it`,
      async run(ctx) {
        const server = await ctx.serve({ maxSize: 99 })
        const body = how === 'declared' ? bytes : stream(bytes.subarray(0, 50), bytes.subarray(50))
        await expect(await send(server, { 'Upload-Defer-Length': '1' }, body), 413)
        await expectNothing(server)
      },
    })),
    {
      title: 'POST with a body without end: 413 within seconds, no trace of it',
      async run(ctx) {
        const server = await ctx.serve()
        const response = send(server, { 'Upload-Length': '50000' }, endless(bytesOf(4096)))
        await expect(await within(response, 'the answer to an endless body'), 413)
        await expectNothing(server)
      },
    },
    {
      title: 'POST with a byte and Upload-Length 0: 413, no trace of it',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await send(server, { 'Upload-Length': '0' }, bytesOf(1)), 413)
        await expectNothing(server)
      },
    },
    {
      title: 'POST with the first bytes and deferred length: 201 with their number',
      async run(ctx) {
        const server = await ctx.serve()
        const response = await send(server, { 'Upload-Defer-Length': '1' }, bytes.subarray(0, 40))
        await expect(response, 201, { 'Upload-Offset': '40' })
        const url = await locationOf(server, response)
        await expectOffset(server, url, 40, { 'Upload-Defer-Length': '1', 'Upload-Length': null })
        const last = await patch(server, url, 40, bytes.subarray(40), { 'Upload-Length': '100' })
        await expect(last, 204, { 'Upload-Offset': '100' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'POST with bytes and their checksum: 201, bytes stored',
      async run(ctx) {
        const server = await ctx.serve()
        const headers = { 'Upload-Length': '100', 'Upload-Checksum': await checksum('sha256', bytes) }
        const response = await send(server, headers, bytes)
        await expect(response, 201, { 'Upload-Offset': '100' })
        await expectBytes(server, await locationOf(server, response), bytes)
      },
    },
    {
      title: 'POST with bytes and another checksum: 460, no trace of them, not finished',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        for (const body of [bytes, stream(bytes)]) {
          const sum = await checksum('sha1', bytesOf(100, 2))
          await expect(await send(server, { 'Upload-Length': '100', 'Upload-Checksum': sum }, body), 460)
        }
        await expectNoBytes(server)
        equal(finished, 0, 'calls of onFinish')
      },
    },
    ...['sha3 qqqq', 'sha1', 'sha1 !', 'sha1 YQ=='].map((value): Case => ({
      title: `POST with bytes and Upload-Checksum "${value}": 400, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await send(server, { 'Upload-Length': '100', 'Upload-Checksum': value }, bytes), 400)
        await expectNothing(server)
      },
    })),
    {
      title: 'POST with bytes, creation-with-upload switched off: 400, nothing stored',
      async run(ctx) {
        const server = await ctx.serve({ extensions: { 'creation-with-upload': false } })
        await expect(await send(server, { 'Upload-Length': '100' }, bytes), 400)
        await expect(await send(server, { 'Upload-Length': '100' }, stream(bytes)), 400)
        await expectNothing(server)
        await expect(await post(server, { 'Upload-Length': '100' }), 201)
      },
    },
    {
      title: 'POST whose connection breaks: what had arrived is kept under its id',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'mine' })
        const request = await held(server, bytes.subarray(0, 60), async (body) => {
          return await send(server, { 'Upload-Length': '100' }, body)
        })
        request.fail()
        await request.response.catch(() => null)
        const url = `${server.url}/mine`
        await expectOffset(server, url, 60)
        await expect(await patch(server, url, 60, bytes.subarray(60)), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'POST whose connection breaks before its checksum could be verified: no bytes kept',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'mine' })
        const headers = { 'Upload-Length': '100', 'Upload-Checksum': await checksum('sha1', bytes) }
        const request = await held(server, bytes.subarray(0, 60), async (body) => await send(server, headers, body))
        request.fail()
        await request.response.catch(() => null)
        await server.handler.close()
        await expectNoBytes(server)
      },
    },
    {
      title: 'HEAD while a POST with bytes stands still: it gives way, its bytes count',
      async run(ctx) {
        const server = await ctx.serve({ generateId: () => 'mine' })
        const request = await held(server, bytes.subarray(0, 60), async (body) => {
          return await send(server, { 'Upload-Length': '100' }, body)
        })
        await within(expectOffset(server, `${server.url}/mine`, 60), 'HEAD beside a stalled POST')
        const answer = await within(request.response, 'the answer to the stalled POST')
        if (answer.status >= 300) await expect(answer, 423)
        else await expect(answer, 201, { 'Upload-Offset': '60' })
      },
    },
  ],
}

async function send(server: Server, headers: Headers, body: Bytes | NonNullable<Init['body']>): Promise<Response> {
  return await post(server, { 'Content-Type': octets, ...headers }, body)
}

async function expectNothing(server: Server): Promise<void> {
  const left = await incomplete(server.store)
  if (left.length > 0) fail(`the store holds ${left.map((upload) => `${upload.id} at ${upload.offset}`).join()}`)
}

/** An upload may be left behind, but it must be an empty one. */
async function expectNoBytes(server: Server): Promise<void> {
  for (const upload of await incomplete(server.store)) {
    equal(upload.offset, 0, `offset of ${upload.id}, left behind`)
    equal((await stored(server.store, upload)).length, 0, `bytes of ${upload.id}, left behind`)
  }
}
