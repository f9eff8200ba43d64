import { bytesOf, checksum, concat, random, stream } from './bodies.ts'
import { create, cut, expectBytes, head, locationOf, offsetOf, patch, post, stalled, type Headers } from './client.ts'
import { equal, expect, ok, within, type Bytes, type Case, type Server, type Suite } from './support.ts'

const size = 300 * 1024

export const suite: Suite = {
  name: 'invariants under random traffic',
  cases: [
    ...[1, 2, 3, 4, 5, 6].map((seed): Case => ({
      title: `an upload with everything going wrong at random (seed ${seed}): offsets never fall, bytes identical`,
      async run(ctx) {
        const server = await ctx.serve({ expiration: { afterMs: 3_600_000 } })
        const bytes = bytesOf(size, seed)
        const url = await create(server, size)
        await upload(server, url, bytes, random(seed))
        await expectBytes(server, url, bytes)
      },
    })),
    ...[7, 8].map((seed): Case => ({
      title: `the same with deferred length and a limit (seed ${seed}): offsets never fall, bytes identical`,
      async run(ctx) {
        const server = await ctx.serve({ maxSize: size })
        const bytes = bytesOf(size, seed)
        const url = await create(server, 'deferred')
        await upload(server, url, bytes, random(seed))
        await expect(await patch(server, url, size, undefined, { 'Upload-Length': String(size) }), 204)
        await expectBytes(server, url, bytes)
      },
    })),
    ...[9, 10].map((seed): Case => ({
      title: `four partials at a time and their final upload (seed ${seed}): joined in order, finished once`,
      async run(ctx) {
        let finished = 0
        const server = await ctx.serve({ onFinish: () => void finished++, removePartials: seed % 2 === 0 })
        const parts = [1, 2, 3, 4].map((n) => bytesOf(20_000 + 7 * n, seed * n))
        const headers = { 'Upload-Concat': 'partial' }
        const urls = await Promise.all(parts.map(async (part) => await create(server, part.length, headers)))
        const final = async (): Promise<string> =>
          await locationOf(server, await post(server, { 'Upload-Concat': `final;${urls.join(' ')}` }))
        // Asked for before the partials are there, or after.
        const early = seed === 9 ? await final() : null
        await Promise.all(
          urls.map(
            async (url, i) => await upload(server, url, parts[i] ?? bytesOf(0), random(seed + i), early === null),
          ),
        )
        const url = early ?? (await final())
        await within(whole(server, url), 'the final upload is joined')
        await expectBytes(server, url, concat(parts))
        equal(finished, 1, 'calls of onFinish')
      },
    })),
    {
      title: '300 malformed requests of all kinds: no 5xx, nothing broken by them',
      async run(ctx) {
        const errors: unknown[] = []
        const server = await ctx.serve({ downloads: true, maxSize: size, onError: (error) => void errors.push(error) })
        const bytes = bytesOf(1000)
        const url = await create(server, 2000)
        await expect(await patch(server, url, 0, bytes), 204)
        const next = random(42)
        for (let i = 0; i < 300; i++) {
          const response = await nonsense(server, url, next)
          const text = await response.text()
          ok(response.status < 500, `request ${i} was answered ${response.status}: ${text}`)
        }
        equal(await offsetOf(server, url), 1000, 'offset after all of them')
        await expectBytes(server, url, bytes)
        equal(errors.length, 0, 'failures that onError heard of')
      },
    },
  ],
}

/** Brings all bytes there, with every kind of misfortune on the way; HEAD after each step. */
async function upload(
  server: Server,
  url: string,
  bytes: Bytes,
  next: (below: number) => number,
  last = true,
): Promise<void> {
  let offset = 0
  for (let step = 0; offset < bytes.length; step++) {
    const wanted = step > 200 ? bytes.length : Math.min(offset + 1 + next(30_000), bytes.length)
    const chunk = bytes.subarray(offset, wanted)
    const expected = await misfortune(server, url, bytes, offset, chunk, next)
    // Whoever completes a partial that is removed then must not ask for it again.
    if (!last && expected === bytes.length) return
    const response = await head(server, url)
    if (response.status === 404 && expected === bytes.length) return
    const told = Number((await expect(response, 200)).headers.get('Upload-Offset') ?? Number.NaN)
    ok(told >= offset, `offset fell from ${offset} to ${told}`)
    equal(told, expected, `offset after step ${step}`)
    offset = told
  }
}

/** One request at `offset`; tells the offset that must be there after it. */
async function misfortune(
  server: Server,
  url: string,
  bytes: Bytes,
  offset: number,
  chunk: Bytes,
  next: (below: number) => number,
): Promise<number> {
  const end = offset + chunk.length
  switch (next(10)) {
    case 0:
      await cut(server, url, offset, chunk)
      return end
    case 1:
      await expect(await patch(server, url, offset + 1 + next(1000), chunk), 409, { 'Upload-Offset': String(offset) })
      return offset
    case 2: {
      const sum = await checksum('sha1', bytesOf(chunk.length + 1, 99))
      await expect(await patch(server, url, offset, chunk, { 'Upload-Checksum': sum }), 460)
      return offset
    }
    case 3: {
      const sum = await checksum('sha256', chunk)
      await expect(await patch(server, url, offset, chunk, { 'Upload-Checksum': sum }), 204)
      return end
    }
    case 4: {
      const tooMuch = concat([bytes.subarray(offset), bytesOf(1)])
      await expect(await patch(server, url, offset, next(2) === 0 ? tooMuch : stream(tooMuch)), 413)
      return offset
    }
    case 5: {
      const holder = await stalled(server, url, offset, chunk)
      await within(head(server, url), 'HEAD beside a stalled PATCH')
      await holder.response.catch(() => null)
      return end
    }
    case 6: {
      const sum = await checksum('sha1', chunk)
      await cut(server, url, offset, chunk.subarray(0, Math.max(1, chunk.length >> 1)), { 'Upload-Checksum': sum })
      return offset
    }
    case 7: {
      const middle = next(chunk.length)
      await expect(await patch(server, url, offset, stream(...pieces(chunk, middle))), 204)
      return end
    }
    case 8:
      await expect(await patch(server, url, offset), 204, { 'Upload-Offset': String(offset) })
      return offset
    default:
      await expect(await patch(server, url, offset, chunk), 204, { 'Upload-Offset': String(end) })
      return end
  }
}

function pieces(chunk: Bytes, middle: number): Bytes[] {
  return [chunk.subarray(0, middle), chunk.subarray(middle)].filter((piece) => piece.length > 0)
}

async function whole(server: Server, url: string): Promise<void> {
  while (!(await head(server, url)).headers.has('Upload-Offset')) await new Promise((resolve) => setTimeout(resolve, 5))
}

const names = [
  'Tus-Resumable',
  'Upload-Offset',
  'Upload-Length',
  'Upload-Defer-Length',
  'Upload-Metadata',
  'Upload-Concat',
  'Upload-Checksum',
  'Content-Type',
  'Range',
  'If-None-Match',
  'If-Range',
  'If-Modified-Since',
  'Origin',
  'Trailer',
  'X-HTTP-Method-Override',
  'X-Forwarded-Host',
  'Forwarded',
] as const

const values = [
  '',
  '0',
  '-1',
  '1e9',
  '99999999999999999999',
  '\u00ff\u00fe',
  'a b c',
  ',,,',
  ';;;',
  '"',
  '\\',
  '\t',
  'final;',
  'final;/files/../x /files/%00',
  'partial',
  'sha1 ====',
  'md5 ',
  'bytes=-',
  'bytes=0-0,1-1',
  '*',
  'W/"',
  '%00',
  '../..',
  'null',
  '__proto__',
  'x'.repeat(4000),
] as const

async function nonsense(server: Server, url: string, next: (below: number) => number): Promise<Response> {
  const pick = <T>(from: readonly T[]): T => from[next(from.length)] as T
  const method = pick(['HEAD', 'PATCH', 'POST', 'OPTIONS', 'GET', 'PUT', 'DELETE'])
  const headers: Record<string, string> = { 'Tus-Resumable': '1.0.0' }
  for (let i = 0; i < 4; i++) headers[pick(names)] = pick(values)
  // What would be a right request for this upload is none of this case's business.
  const own: Headers = method === 'PATCH' ? { 'Upload-Offset': pick(['', '-1', '5', 'x']) } : {}
  const target = method === 'DELETE' ? `${server.url}/${pick(['%00', '..', 'nobody', ''])}` : pick([url, server.url])
  const body = method === 'PATCH' || method === 'POST' ? { body: bytesOf(next(50)) } : {}
  if (headers['X-HTTP-Method-Override'] !== undefined) headers['X-HTTP-Method-Override'] = pick(['PUT', 'HEAD', ''])
  return await server.fetch(target, { method, headers: { ...headers, ...own }, ...body })
}
