import { base64, bytesOf, checksum, stream, text } from './bodies.ts'
import { create, createWith, cut, expectBytes, expectOffset, patch, recordOf, stalled } from './client.ts'
import { equal, expect, expectRefusal, within, type Case, type Suite } from './support.ts'

const hello = text('hello world')

/** Digests of `hello world`; the first is the specification's own example. */
const digests = {
  sha1: 'Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
  md5: 'XrY7u+Ae7tCTyyK7j1rNww==',
  sha256: 'uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=',
  sha384: '/b2OdaZ/KfcBpOBAOF4uI5hjA+oQI5IRr5B/y7g1eLPkF8txzmRu/QgZ3YwIjeG9',
  sha512: 'MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw==',
  crc32: 'DUoRhQ==',
} as const

const malformed = [
  '',
  'sha1',
  'sha1 ',
  'sha1 !!!!',
  'sha1 YQ',
  'sha1 YQ==',
  'sha1  a b',
  'md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=',
]

export const suite: Suite = {
  name: 'checksum',
  cases: [
    ...Object.entries(digests).flatMap(([algorithm, digest]): Case[] => [
      {
        // Checksum: "204 No Content if the checksums match and the processing of the data succeeded."
        title: `PATCH with its ${algorithm}: 204, bytes stored, declared and streamed`,
        async run(ctx) {
          const server = await ctx.serve()
          for (const body of [hello, stream(hello.subarray(0, 4), hello.subarray(4))]) {
            const url = await create(server, hello.length)
            const response = await patch(server, url, 0, body, { 'Upload-Checksum': `${algorithm} ${digest}` })
            await expect(response, 204, { 'Upload-Offset': '11' })
            await expectBytes(server, url, hello)
          }
        },
      },
      {
        // "In the first two cases the uploaded chunk MUST be discarded, and the upload and its offset MUST NOT be
        // updated."
        title: `PATCH with another ${algorithm}: 460, nothing stored, declared and streamed`,
        async run(ctx) {
          const server = await ctx.serve()
          const other = text('hello World')
          for (const body of [other, stream(other.subarray(0, 4), other.subarray(4))]) {
            const url = await create(server, hello.length)
            const response = await patch(server, url, 0, body, { 'Upload-Checksum': `${algorithm} ${digest}` })
            await expect(response, 460)
            await expectOffset(server, url, 0)
            await expectBytes(server, url, new Uint8Array(0))
          }
        },
      },
    ]),
    {
      title: 'PATCH with another checksum in the middle: what was there stays, the right chunk is taken after',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(90)
        const url = await createWith(server, bytes.subarray(0, 30), {}, 90)
        const sum = await checksum('sha256', bytes.subarray(30, 60))
        const wrong = await patch(server, url, 30, bytesOf(30, 7), { 'Upload-Checksum': sum })
        await expect(wrong, 460)
        await expectBytes(server, url, bytes.subarray(0, 30))
        const right = await patch(server, url, 30, bytes.subarray(30, 60), { 'Upload-Checksum': sum })
        await expect(right, 204, { 'Upload-Offset': '60' })
        await expect(await patch(server, url, 60, bytes.subarray(60)), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH of 2 MiB with another checksum: 460 and no trace, however far the bytes had come',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(2 * 1024 * 1024)
        const url = await create(server, bytes.length)
        const sum = await checksum('sha1', bytes.subarray(1))
        await expect(await patch(server, url, 0, bytes, { 'Upload-Checksum': sum }), 460)
        await expectOffset(server, url, 0)
        await expectBytes(server, url, new Uint8Array(0))
        await expect(await patch(server, url, 0, bytes.subarray(0, 10)), 204)
        await expectBytes(server, url, bytes.subarray(0, 10))
      },
    },
    {
      title: 'PATCH with the last bytes and another checksum: 460, not finished; then the right one finishes',
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++ })
        const url = await create(server, hello.length)
        const headers = { 'Upload-Checksum': `sha1 ${digests.sha1}` }
        await expect(await patch(server, url, 0, text('HELLO WORLD'), headers), 460)
        equal(finished, 0, 'calls of onFinish')
        equal((await recordOf(server, url)).completed, false, 'completed in the record')
        await expect(await patch(server, url, 0, hello, headers), 204)
        equal(finished, 1, 'calls of onFinish')
      },
    },
    ...['sha3 qqqq', 'SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=', 'sha-1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=', '__proto__ YQ=='].map(
      (value): Case => ({
        // "400 Bad Request if the checksum algorithm is not supported by the server". "The names of the checksum
        // algorithms MUST only consist of ASCII characters with the modification that uppercase characters are
        // excluded."
        title: `PATCH with Upload-Checksum "${value}": 400, nothing stored`,
        async run(ctx) {
          const server = await ctx.serve()
          const url = await create(server, hello.length)
          await expect(await patch(server, url, 0, hello, { 'Upload-Checksum': value }), 400)
          await expectBytes(server, url, new Uint8Array(0))
        },
      }),
    ),
    ...malformed.map((value): Case => ({
      // Checksum, Upload-Checksum: "The header MUST consist of the name of the used checksum algorithm and the
      // Base64 encoded checksum separated by a space."
      title: `PATCH with Upload-Checksum "${value}": 400 that names it, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, hello.length)
        const response = await patch(server, url, 0, hello, { 'Upload-Checksum': value })
        await expectRefusal(response, 400, /Upload-Checksum/)
        await expectBytes(server, url, new Uint8Array(0))
      },
    })),
    {
      title: 'PATCH without bytes and the checksum of nothing: 204; another one: 460',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 5)
        const empty = await checksum('sha1', new Uint8Array(0))
        await expect(await patch(server, url, 0, undefined, { 'Upload-Checksum': empty }), 204)
        const other = `sha1 ${digests.sha1}`
        await expect(await patch(server, url, 0, undefined, { 'Upload-Checksum': other }), 460)
      },
    },
    {
      title: 'PATCH with a checksum and too many bytes, streamed: 413, nothing stored',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, 10)
        const headers = { 'Upload-Checksum': `sha1 ${digests.sha1}` }
        await expect(await patch(server, url, 0, stream(hello), headers), 413)
        await expectBytes(server, url, new Uint8Array(0))
      },
    },
    {
      title: 'PATCH with a checksum whose connection breaks: nothing of it stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(100)
        const url = await createWith(server, bytes.subarray(0, 10), {}, 100)
        const sum = await checksum('sha1', bytes.subarray(10))
        await cut(server, url, 10, bytes.subarray(10, 70), { 'Upload-Checksum': sum })
        await expectOffset(server, url, 10)
        await expectBytes(server, url, bytes.subarray(0, 10))
        await expect(await patch(server, url, 10, bytes.subarray(10), { 'Upload-Checksum': sum }), 204)
        await expectBytes(server, url, bytes)
      },
    },
    {
      title: 'PATCH with the checksum of its first half, broken right there: nothing of it stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(100)
        const url = await create(server, 100)
        await cut(server, url, 0, bytes.subarray(0, 50), {
          'Upload-Checksum': await checksum('sha1', bytes.subarray(0, 50)),
          'Content-Length': '100',
        })
        await expectOffset(server, url, 0)
      },
    },
    {
      title: 'PATCH with a checksum that gives way to HEAD: nothing of it stored',
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(100)
        const url = await createWith(server, bytes.subarray(0, 10), {}, 100)
        const headers = { 'Upload-Checksum': await checksum('sha1', bytes.subarray(10)) }
        const holder = await stalled(server, url, 10, bytes.subarray(10, 70), headers)
        await within(expectOffset(server, url, 10), 'HEAD beside a stalled PATCH')
        await expect(await within(holder.response, 'the answer to the stalled PATCH'), 423)
        await expectBytes(server, url, bytes.subarray(0, 10))
      },
    },
    {
      title: 'PATCH with a checksum that stands still: 503 after the idle timeout, nothing of it stored',
      async run(ctx) {
        const server = await ctx.serve({ idleTimeoutMs: 60 })
        const bytes = bytesOf(100)
        const url = await create(server, 100)
        const headers = { 'Upload-Checksum': await checksum('sha1', bytes) }
        const request = await stalled(server, url, 0, bytes.subarray(0, 70), headers).catch(() => null)
        if (request !== null) await expect(await within(request.response, 'the idle timeout'), 503)
        await expectOffset(server, url, 0)
      },
    },
    {
      // Checksum: "If the hash cannot be calculated at the beginning of the upload, it MAY be included as a trailer."
      title: 'PATCH with its checksum as a trailer: 204, or 400 and nothing stored where trailers do not arrive',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, hello.length)
        const trailers = { 'Upload-Checksum': `sha1 ${digests.sha1}` }
        const rest = ctx.capabilities.trailers ? { trailers } : {}
        const response = await patch(server, url, 0, stream(hello), { Trailer: 'Upload-Checksum' }, rest)
        await expect(response, ctx.capabilities.trailers ? 204 : 400)
        await expectBytes(server, url, ctx.capabilities.trailers ? hello : new Uint8Array(0))
      },
    },
    ...(
      [
        ['of other bytes', { 'Upload-Checksum': `sha1 ${base64(bytesOf(20))}` }, 460],
        ['that never comes', {}, 400],
        ['that is malformed', { 'Upload-Checksum': 'sha1 YQ==' }, 400],
        ['of an unknown algorithm', { 'Upload-Checksum': 'sha3 YQ==' }, 400],
      ] as const
    ).map(([what, trailers, status]): Case => ({
      title: `PATCH with a checksum trailer ${what}: ${status} (400 where none arrive), nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const bytes = bytesOf(5)
        const url = await createWith(server, bytes, {}, 5 + hello.length)
        const rest = ctx.capabilities.trailers ? { trailers } : {}
        const response = await patch(server, url, 5, stream(hello), { Trailer: 'upload-checksum' }, rest)
        await expect(response, ctx.capabilities.trailers ? status : 400)
        await expectBytes(server, url, bytes)
        await expectOffset(server, url, 5)
      },
    })),
    {
      title: 'PATCH that announces another trailer: stored as without',
      async run(ctx) {
        const server = await ctx.serve()
        const url = await create(server, hello.length)
        await expect(await patch(server, url, 0, stream(hello), { Trailer: 'X-Other' }), 204)
        await expectBytes(server, url, hello)
      },
    },
  ],
}
