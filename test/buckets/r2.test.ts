/** R2 through its Workers binding, inside workerd without Node.js compatibility. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { after, describe, test } from 'node:test'
import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
import { controlled, stream } from '../suites/bodies.ts'
import { until } from '../suites/support.ts'
import { r2Cases } from './r2-cases.ts'
import { bucketCases } from './suite.ts'

const mib = 1 << 20
const miniflare = new Miniflare({
  modules: true,
  script: await bundle('test/buckets/r2-worker.ts'),
  r2Buckets: ['BUCKET'],
  compatibilityDate: '2025-01-01',
  host: '127.0.0.1',
  port: 0,
})
const origin = (await miniflare.ready).origin
after(() => miniflare.dispose())

void describe('R2', () => {
  const results = runCases()
  for (const { title } of [...bucketCases, ...r2Cases]) {
    void test(title, { timeout: 120_000 }, async () => {
      for (;;) {
        const { done, value } = await results.next()
        assert.ok(done !== true, 'it was run')
        if (value.title === title) return assert.equal(value.failure, null)
      }
    })
  }
})

async function* runCases(): AsyncGenerator<{ title: string; failure: string | null }> {
  // Compressed, the lines would come all together at the end.
  const { body } = await fetch(`${origin}/cases`, { headers: { 'Accept-Encoding': 'identity' } })
  assert.ok(body !== null)
  for await (const line of createInterface({ input: Readable.from(body) })) {
    const [title, failure] = JSON.parse(line) as [string, string | null]
    yield { title, failure }
  }
}

void describe('The handler on r2Store, in workerd', () => {
  // A connection kept alive may be closed by the server while this process is busy making bytes.
  const tus = { 'Tus-Resumable': '1.0.0', Connection: 'close' }
  const files = `${origin}/files`

  const create = async (headers: Record<string, string>): Promise<string> => {
    const response = await fetch(files, { method: 'POST', headers: { ...tus, ...headers } })
    assert.equal(response.status, 201, await response.text())
    return new URL(response.headers.get('Location') ?? '', origin).href
  }
  const patch = async (url: string, offset: number, body: BodyInit, more: Streaming = {}): Promise<string> => {
    const headers = { ...tus, 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
    const response = await fetch(url, { method: 'PATCH', headers, body, ...more })
    return `${response.status} ${response.headers.get('Upload-Offset')}${await response.text()}`
  }
  const head = async (url: string): Promise<string> => {
    const { status, headers } = await fetch(url, { method: 'HEAD', headers: tus })
    return `${status} ${headers.get('Upload-Offset')}/${headers.get('Upload-Length')}`
  }
  const stored = async (): Promise<unknown> => (await fetch(`${origin}/stored`)).json()

  after(async () => assert.deepEqual(await (await fetch(`${origin}/errors`)).json(), [], 'errors reported'))

  void test('POST, PATCH in two pieces of more than 5 MiB, HEAD, GET, DELETE', async () => {
    const bytes = randomBytes(23 * mib + 7)
    const metadata = `filename ${btoa('a.png')},filetype ${btoa('image/png')}`
    const url = await create({ 'Upload-Length': `${bytes.length}`, 'Upload-Metadata': metadata })
    assert.equal(await head(url), `200 0/${bytes.length}`)
    const half = 11 * mib + 3
    assert.equal(await patch(url, 0, bytes.subarray(0, half)), `204 ${half}`)
    assert.equal(await head(url), `200 ${half}/${bytes.length}`)
    assert.equal(await patch(url, half, bytes.subarray(half)), `204 ${bytes.length}`)
    assert.equal(await head(url), `200 ${bytes.length}/${bytes.length}`)

    const whole = await fetch(url)
    assert.equal(whole.status, 200)
    assert.equal(whole.headers.get('Content-Type'), 'image/png')
    assert.ok(bytes.equals(await whole.bytes()), 'the bytes')
    const part = await fetch(url, { headers: { Range: `bytes=${half - 5}-${half + 5}` } })
    assert.equal(part.status, 206)
    assert.deepEqual(await part.bytes(), new Uint8Array(bytes.subarray(half - 5, half + 6)))

    const id = url.slice(files.length + 1)
    assert.deepEqual(await stored(), [
      [`uploads/${id}`, 'image/png'],
      [`uploads/${id}.info`, null],
    ])
    const gone = await fetch(url, { method: 'DELETE', headers: tus })
    assert.equal(gone.status, 204)
    assert.equal((await fetch(url, { method: 'HEAD', headers: tus })).status, 404)
    assert.deepEqual(await stored(), [])
  })

  void test('a PATCH of unknown length with a deferred length, then the length', async () => {
    const bytes = randomBytes(9 * mib)
    const url = await create({ 'Upload-Defer-Length': '1' })
    const more: Streaming = { duplex: 'half' }
    assert.equal(
      await patch(url, 0, stream(bytes.subarray(0, 6 * mib), bytes.subarray(6 * mib)), more),
      `204 ${bytes.length}`,
    )
    const headers = {
      ...tus,
      'Upload-Offset': String(bytes.length),
      'Upload-Length': String(bytes.length),
      'Content-Type': 'application/offset+octet-stream',
    }
    assert.equal((await fetch(url, { method: 'PATCH', headers })).status, 204)
    assert.ok(bytes.equals(await (await fetch(url)).bytes()), 'the bytes')
    await fetch(url, { method: 'DELETE', headers: tus })
  })

  void test('twelve uploads at once: all of them whole', async () => {
    const bodies = Array.from({ length: 12 }, (_, i) => randomBytes(i * mib + i))
    const urls = await Promise.all(
      bodies.map(async (bytes) => {
        const url = await create({ 'Upload-Length': `${bytes.length}` })
        if (bytes.length > 0) assert.equal(await patch(url, 0, bytes), `204 ${bytes.length}`)
        return url
      }),
    )
    for (const [i, url] of urls.entries()) {
      assert.ok(bodies[i]?.equals(await (await fetch(url)).bytes()), `upload ${i}`)
      await fetch(url, { method: 'DELETE', headers: tus })
    }
  })

  void test('two partial uploads and a final one: their bytes, one after the other', async () => {
    const pieces = [randomBytes(6 * mib), randomBytes(1000)]
    const partials = await Promise.all(
      pieces.map(async (bytes) => {
        const url = await create({ 'Upload-Length': `${bytes.length}`, 'Upload-Concat': 'partial' })
        assert.equal(await patch(url, 0, bytes), `204 ${bytes.length}`)
        return url
      }),
    )
    const paths = partials.map((url) => new URL(url).pathname).join(' ')
    const url = await create({ 'Upload-Concat': `final;${paths}` })
    assert.ok(Buffer.concat(pieces).equals(await (await fetch(url)).bytes()), 'the bytes')
    for (const one of [...partials, url]) await fetch(one, { method: 'DELETE', headers: tus })
    assert.deepEqual(await stored(), [])
  })

  void test('a client that goes away in the middle: what it sent is kept, and the next PATCH goes on there', async () => {
    const bytes = randomBytes(20 * mib)
    const url = await create({ 'Upload-Length': `${bytes.length}` })
    const body = controlled(bytes.subarray(0, 13 * mib))
    const controller = new AbortController()
    const cut = patch(url, 0, body.stream, { duplex: 'half', signal: controller.signal })
    await until(async () => (await (await fetch(`${origin}/taken`)).json()) === 13 * mib, 'the bytes arrived')
    controller.abort()
    await assert.rejects(cut)
    await until(async () => (await head(url)) === `200 ${13 * mib}/${bytes.length}`, 'the offset')
    assert.equal(await patch(url, 13 * mib, bytes.subarray(13 * mib)), `204 ${bytes.length}`)
    assert.ok(bytes.equals(await (await fetch(url)).bytes()), 'the bytes')
    await fetch(url, { method: 'DELETE', headers: tus })
  })

  void test('a PATCH that stands still, and another one for the same upload: the former gives way', async () => {
    const bytes = randomBytes(3 * mib)
    const url = await create({ 'Upload-Length': `${bytes.length}` })
    const body = controlled(bytes.subarray(0, mib))
    const former = patch(url, 0, body.stream, { duplex: 'half' })
    await until(async () => (await (await fetch(`${origin}/taken`)).json()) === mib, 'the bytes arrived')
    assert.equal(await head(url), `200 ${mib}/${bytes.length}`)
    assert.match(await former, /^423 /)
    assert.equal(await patch(url, mib, bytes.subarray(mib)), `204 ${bytes.length}`)
    await fetch(url, { method: 'DELETE', headers: tus })
  })
})

/** What Node asks for with a streamed body, unknown to the DOM's types. */
type Streaming = RequestInit & { readonly duplex?: 'half' }

async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [new URL(`../../${entry}`, import.meta.url).pathname],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2024',
    write: false,
  })
  return outputFiles[0]?.text ?? ''
}
