import { bytesOf, controlled, endless, stream } from './bodies.ts'
import { create, createWith, expectBytes, expectOffset, octets, offsetOf, patch, tus } from './client.ts'
import { notNumbers } from './numbers.ts'
import { equal, expect, expectRefusal, ok, within, type Case, type Suite } from './support.ts'

export const suite: Suite = {
  name: 'PATCH',
  cases: [
    {
      // Requests, PATCH: "The Server MUST acknowledge successful PATCH requests with the 204 No Content status. It
      // MUST include the Upload-Offset header containing the new offset."
      title: 'PATCH with all bytes: 204 with the new offset and no body, bytes stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(1000)
        const url = await create(server, bytes.length)
        const response = await patch(server, url, 0, bytes)
        await expect(response, 204, { 'Upload-Offset': '1000' })
        equal(await response.text(), '', 'body')
        await expectBytes(server, url, bytes)
      },
    },
    {
      // "The new offset MUST be the sum of the offset before the PATCH request and the number of bytes received".
      title: 'PATCH in chunks of 1, 2, 3 ... bytes: each answers the sum, the bytes stay in order',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(210)
        const url = await create(server, bytes.length)
        let offset = 0
        for (let size = 1; offset < bytes.length; size++) {
          const chunk = bytes.subarray(offset, offset + size)
          offset += chunk.length
          const response = await patch(server, url, offset - chunk.length, chunk)
          await expect(response, 204, { 'Upload-Offset': String(offset) })
          await expectOffset(server, url, offset)
        }
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH streamed without Content-Length, in chunks of many sizes: all bytes stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(200_000)
        const url = await create(server, bytes.length)
        const cuts = [0, 0, 1, 1, 2, 70_000, 70_001, 135_537, 135_537, 199_999, 200_000]
        const chunks = cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end))
        // An empty chunk would end a body in HTTP/1.1's own coding; in process it must do no harm either.
        await expect(await patch(server, url, 0, stream(...chunks.filter((chunk) => chunk.length > 0))), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH of 3 MiB in one request: all bytes stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(3 * 1024 * 1024 + 17)
        await expectBytes(server, await createWith(server, bytes), bytes)
      },
    },
    {
      title: 'PATCH without bytes in the middle: 204 at the same offset',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(5), {}, 10)
        await expect(await patch(server, url, 5), 204, { 'Upload-Offset': '5' })
        await expect(await patch(server, url, 5, stream()), 204, { 'Upload-Offset': '5' })
        await expectOffset(server, url, 5)
      },
    },
    {
      title: 'PATCH without bytes at the end of a completed upload: 204',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await createWith(server, bytesOf(5))
        await expect(await patch(server, url, 5), 204, { 'Upload-Offset': '5' })
      },
    },
    {
      title: 'PATCH with bytes at the end of a completed upload: 413, nothing changed',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(5)
        const url = await createWith(server, bytes)
        await expect(await patch(server, url, 5, bytesOf(1)), 413)
        await expect(await patch(server, url, 5, stream(bytesOf(1))), 413)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH at the start of a completed upload: 409, nothing changed',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(5)
        const url = await createWith(server, bytes)
        await expect(await patch(server, url, 0, bytesOf(5, 2)), 409, { 'Upload-Offset': '5' })
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH without Upload-Offset: 400 that names it',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const response = await tus(server, 'PATCH', url, { 'Content-Type': octets }, { body: bytesOf(5) })
        await expectRefusal(response, 400, /Upload-Offset/)
        await expectOffset(server, url, 0)
      },
    },
    ...notNumbers.map((value): Case => ({
      title: `PATCH with Upload-Offset "${value}": 400 that names it, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expectRefusal(await patch(server, url, 0, bytesOf(5), { 'Upload-Offset': value }), 400, /Upload-Offset/)
        await expectOffset(server, url, 0)
      },
    })),
    {
      title: 'PATCH with Upload-Offset 2^53-1: a number, so 409',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expect(await patch(server, url, Number.MAX_SAFE_INTEGER, bytesOf(5)), 409, { 'Upload-Offset': '0' })
      },
    },
    {
      title: 'PATCH with Upload-Offset "0" among blanks: blanks around a value are not part of it, 204',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expect(await patch(server, url, 0, bytesOf(5), { 'Upload-Offset': '  0 ' }), 204)
      },
    },
    ...[2, 4, 6, 10, 11].map((offset): Case => ({
      // "If the offsets do not match, the Server MUST respond with the 409 Conflict status without modifying the
      // upload resource."
      title: `PATCH at ${offset} where 5 of 10 bytes are stored: 409 with the offset, nothing changed`,
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(5)
        const url = await createWith(server, bytes, {}, 10)
        await expect(await patch(server, url, offset, bytesOf(3, 2)), 409, { 'Upload-Offset': '5' })
        await expectBytes(server, url, bytes)
        await expectOffset(server, url, 5)
      },
    })),
    ...['text/plain', 'application/octet-stream', 'application/offset+octet-streams', 'multipart/form-data', ''].map(
      (type): Case => ({
        // "All PATCH requests MUST use Content-Type: application/offset+octet-stream, otherwise the server SHOULD
        // return a 415 Unsupported Media Type status."
        title: `PATCH with Content-Type "${type}": 415, nothing stored`,
        async run(ctx) {
          const server = await ctx.serve()
          const url = await create(server, 5)
          await expect(await patch(server, url, 0, bytesOf(5), { 'Content-Type': type }), 415)
          await expectOffset(server, url, 0)
        },
      }),
    ),
    {
      title: 'PATCH without Content-Type: 415, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        await expect(await tus(server, 'PATCH', url, { 'Upload-Offset': '0' }, { body: bytesOf(5) }), 415)
        await expectOffset(server, url, 0)
      },
    },
    {
      // RFC 9110, 8.3.1: "The type and subtype tokens are case-insensitive."
      title: 'PATCH with the media type in other letters: 204',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const headers = { 'Content-Type': 'Application/Offset+Octet-Stream' }
        await expect(await patch(server, url, 0, bytesOf(5), headers), 204)
      },
    },
    {
      // "If the server receives a PATCH request against a non-existent resource it SHOULD return a 404".
      title: 'PATCH on an unknown upload: 404, nothing created',
      async run(ctx) {
        const server = await ctx.serve()
        await expect(await patch(server, `${server.url}/unknown`, 0, bytesOf(5)), 404, { 'Upload-Offset': null })
        equal(await server.store.get('unknown'), null, 'record of the unknown upload')
      },
    },
    ...[0, 5].flatMap((start): Case[] =>
      ['declared', 'streamed'].map((how) => ({
        title: `PATCH at ${start} with one byte more than the length, ${how}: 413, nothing of it stored`,
        async run(ctx) {
          const server = await ctx.serve()
          const bytes = bytesOf(11)
          const url = await createWith(server, bytes.subarray(0, start), {}, 10)
          const rest = bytes.subarray(start)
          const body = how === 'declared' ? rest : stream(rest.subarray(0, 3), rest.subarray(3, 5), rest.subarray(5))
          await expect(await patch(server, url, start, body), 413)
          await expectBytes(server, url, bytes.subarray(0, start))
          await expectOffset(server, url, start)
          // And the upload is as good as before.
          await expect(await patch(server, url, start, bytes.subarray(start, 10)), 204)
          await expectBytes(server, url, bytes.subarray(0, 10))
        },
      })),
    ),
    {
      title: 'PATCH that declares one byte more than the length: 413 before they have come, nothing of it stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 10)
        const response = server.fetchRaw(new URL(url).pathname, {
          method: 'PATCH',
          headers: { 'Tus-Resumable': '1.0.0', 'Upload-Offset': '0', 'Content-Type': octets, 'Content-Length': '11' },
          body: controlled(bytesOf(5)).stream,
        })
        await expect(await within(response, 'the answer to the declared length', 2000), 413)
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'PATCH with a body without end: 413 once it is longer than the upload, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 100_000)
        const response = patch(server, url, 0, endless(bytesOf(8192)))
        await expect(await within(response, 'the answer to an endless body'), 413)
        await expectOffset(server, url, 0)
        ok(server.taken() < 50_000_000, `${server.taken()} bytes of the endless body were taken`)
      },
    },
    ...['10', '11'].map((length): Case => ({
      // Creation, POST: "Once set the length MUST NOT be changed."
      title: `PATCH with Upload-Length ${length} where 10 was given at creation: 400, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 10)
        const response = await patch(server, url, 0, bytesOf(5), { 'Upload-Length': length })
        await expectRefusal(response, 400, /Upload-Length/)
        await expectOffset(server, url, 0, { 'Upload-Length': '10' })
      },
    })),
    {
      title: 'two PATCHes at one offset at a time: the bytes are stored once, whoever wins',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(50_000)
        const url = await create(server, bytes.length)
        const answers = await Promise.all([patch(server, url, 0, bytes), patch(server, url, 0, bytes)])
        for (const answer of answers) await expect(answer, [204, 409, 423])
        const offset = await offsetOf(server, url)
        if (offset < bytes.length) await expect(await patch(server, url, offset, bytes.subarray(offset)), 204)
        await expectBytes(server, url, bytes)
      },
    },
  ],
}
