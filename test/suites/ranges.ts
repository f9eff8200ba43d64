import { bytesOf } from './bodies.ts'
import { create, createWith } from './client.ts'
import { equal, equalBytes, expect, expectLength, type Case, type Server, type Suite } from './support.ts'

const bytes = bytesOf(1000)

const satisfiable = [
  ['bytes=0-4', 0, 5],
  ['bytes=5-5', 5, 6],
  ['bytes=10-', 10, 1000],
  ['bytes=-3', 997, 1000],
  ['bytes=-5000', 0, 1000],
  ['bytes=990-5000', 990, 1000],
  ['bytes=999-', 999, 1000],
  ['bytes=0-99999999999999999999', 0, 1000],
  ['BYTES=0-4', 0, 5],
] as const

/** RFC 9110, 14.2: "A server MAY ignore the Range header field", and an invalid one it must not answer 206. */
const ignored = [
  'bytes=5-2',
  'bytes=a-b',
  'bytes=',
  'bytes=-',
  'bytes',
  'items=0-1',
  '0-4',
  'bytes=0--4',
  'bytes=1.5-3',
]

const unsatisfiable = ['bytes=1000-', 'bytes=1000-1001', 'bytes=-0', 'bytes=99999999999999999999-']

export const suite: Suite = {
  name: 'downloads: ranges and conditions',
  cases: [
    ...satisfiable.map(([range, start, end]): Case => ({
      title: `GET with Range ${range}: 206 with these bytes`,
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        const response = await expect(await server.fetch(url, { headers: { Range: range } }), 206, {
          'Content-Range': `bytes ${start}-${end - 1}/1000`,
          'Accept-Ranges': 'bytes',
          ETag: /^"/,
        })
        expectLength(ctx, response, end - start)
        equalBytes(new Uint8Array(await response.arrayBuffer()), bytes.subarray(start, end), 'body')
      },
    })),
    ...ignored.map((range): Case => ({
      title: `GET with Range ${range}: ignored, 200 with everything`,
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        const response = await server.fetch(url, { headers: { Range: range } })
        await expect(response, 200, { 'Content-Range': null })
        expectLength(ctx, response, 1000)
        equalBytes(new Uint8Array(await response.arrayBuffer()), bytes, 'body')
      },
    })),
    ...unsatisfiable.map((range): Case => ({
      // RFC 9110, 15.5.17: "SHOULD generate a Content-Range header field specifying the current length".
      title: `GET with Range ${range}: 416 that tells the length`,
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        await expect(await server.fetch(url, { headers: { Range: range } }), 416, { 'Content-Range': 'bytes */1000' })
      },
    })),
    {
      title: 'GET with two ranges: both in parts, or everything',
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        const response = await server.fetch(url, { headers: { Range: 'bytes=0-4, 10-14' } })
        if (response.status === 206) await expect(response, 206, { 'Content-Type': /^multipart\/byteranges/ })
        else equalBytes(new Uint8Array(await (await expect(response, 200)).arrayBuffer()), bytes, 'body')
      },
    },
    {
      title: 'GET with Range on an empty upload: 416 or nothing, never 206',
      async run(ctx) {
        const server = await ctx.serve({ downloads: true })
        const url = await create(server, 0)
        for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
          await expect(await server.fetch(url, { headers: { Range: range } }), [200, 416])
        }
      },
    },
    {
      title: 'HEAD without Tus-Resumable and with Range: no 206 with a body',
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        const response = await server.fetch(url, { method: 'HEAD', headers: { Range: 'bytes=0-4' } })
        // RFC 9110, 14.2: Range is defined for GET alone; most servers answer HEAD as they would GET.
        await expect(response, [200, 206])
        equal(await response.text(), '', 'body')
      },
    },
    {
      title: 'GET, one range after the other: together the file',
      async run(ctx) {
        const { server, url } = await stored(await ctx.serve({ downloads: true }))
        for (let start = 0; start < 1000; start += 333) {
          const end = Math.min(start + 333, 1000)
          const response = await server.fetch(url, { headers: { Range: `bytes=${start}-${end - 1}` } })
          await expect(response, 206)
          equalBytes(new Uint8Array(await response.arrayBuffer()), bytes.subarray(start, end), `bytes from ${start}`)
        }
      },
    },
    ...(
      [
        ['If-None-Match', (etag) => etag, 304],
        ['If-None-Match', () => '*', 304],
        ['If-None-Match', (etag) => `"x", W/${etag}`, 304],
        ['If-None-Match', () => '"x"', 200],
        ['If-Match', (etag) => `"x", ${etag}`, 200],
        ['If-Match', () => '*', 200],
        ['If-Match', () => '"x"', 412],
        ['If-Match', (etag) => `W/${etag}`, 412],
        ['If-Modified-Since', (_, date) => date, 304],
        ['If-Modified-Since', () => 'Thu, 01 Jan 1970 00:00:00 GMT', 200],
        ['If-Modified-Since', () => 'yesterday', 200],
        ['If-Unmodified-Since', (_, date) => date, 200],
        ['If-Unmodified-Since', () => 'Thu, 01 Jan 1970 00:00:00 GMT', 412],
        ['If-Unmodified-Since', () => 'yesterday', 200],
      ] as readonly [string, (etag: string, date: string) => string, number][]
    ).map(([name, value, status]): Case => ({
      // RFC 9110, 13.1 and 13.2.2.
      title: `GET with ${name}: ${value('ETAG', 'DATE')}: ${status}`,
      async run(ctx) {
        const { server, url, etag, date } = await stored(await ctx.serve({ downloads: true }))
        const response = await server.fetch(url, { headers: { [name]: value(etag, date) } })
        await expect(response, status, status === 412 ? {} : { ETag: etag })
        const body = new Uint8Array(await response.arrayBuffer())
        if (status === 200) equalBytes(body, bytes, 'body')
        if (status === 304) equal(body.length, 0, 'length of the body')
      },
    })),
    {
      title: 'GET with If-None-Match that differs and If-Modified-Since that does not: 200, the first one counts',
      async run(ctx) {
        const { server, url, date } = await stored(await ctx.serve({ downloads: true }))
        const headers = { 'If-None-Match': '"x"', 'If-Modified-Since': date }
        await expect(await server.fetch(url, { headers }), 200)
      },
    },
    ...(
      [
        ['the ETag', (etag) => etag, 206],
        ['the date', (_, date) => date, 206],
        ['another ETag', () => '"x"', 200],
        ['a weak ETag', (etag) => `W/${etag}`, 200],
        ['another date', () => 'Thu, 01 Jan 1970 00:00:00 GMT', 200],
      ] as readonly [string, (etag: string, date: string) => string, number][]
    ).map(([what, value, status]): Case => ({
      title: `GET with Range and ${what} in If-Range: ${status}`,
      async run(ctx) {
        const { server, url, etag, date } = await stored(await ctx.serve({ downloads: true }))
        const headers = { Range: 'bytes=0-4', 'If-Range': value(etag, date) }
        const response = await expect(await server.fetch(url, { headers }), status)
        equal((await response.arrayBuffer()).byteLength, status === 206 ? 5 : 1000, 'length of the body')
      },
    })),
  ],
}

async function stored(server: Server): Promise<{ server: Server; url: string; etag: string; date: string }> {
  const url = await createWith(server, bytes)
  const { headers } = await expect(await server.fetch(url, { method: 'HEAD' }), 200)
  return { server, url, etag: headers.get('ETag') ?? '', date: headers.get('Last-Modified') ?? '' }
}
