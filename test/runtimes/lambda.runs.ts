/** tus-js-client through the example of AWS Lambda, on S3: chunks that fit, one that does not, and ones that are cut. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { createTusHandler } from '../../src/index.ts'
import { s3Store } from '../../src/stores/s3.ts'
import { run, trackUpload } from '../clients/tus.ts'
import { startMinio } from '../servers/minio.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { type Events, lambdaServer } from './lambda.ts'
import { hashOf } from './newcomer.ts'

const mib = 1 << 20
/** As docs/runtimes.md says. */
const chunkSize = 4 * mib

const minio = await startMinio()
after(() => minio?.stop())

void describe('AWS Lambda, on S3', { skip: minio === null && 'its server is not installed: npm run servers' }, () => {
  void test('tus-js-client, 10 MiB in chunks of 4 MiB: each event fits, the object is the file', async () => {
    await using served = await serve()
    const bytes = randomBytes(10 * mib)
    const { upload, answers } = await run(trackUpload(bytes, { endpoint: `${served.origin}/files`, chunkSize }))
    assert.deepEqual(
      answers.map(({ method, status, offset }) => [method, status, offset]),
      [
        ['POST', 201, null],
        ['PATCH', 204, 4 * mib],
        ['PATCH', 204, 8 * mib],
        ['PATCH', 204, 10 * mib],
      ],
    )
    assert.ok(Math.max(...served.events.sizes) > 1.33 * chunkSize, 'bytes are in base64')
    assert.equal(hashOf(await served.stored(upload.url)), hashOf(bytes))
  })

  void test('tus-js-client, a chunk over the limit in base64: 413 before the function is asked, offset 0', async () => {
    await using served = await serve()
    const tracked = trackUpload(randomBytes(5 * mib), { endpoint: `${served.origin}/files` })
    await assert.rejects(run(tracked), /response code: 413/)
    assert.deepEqual(tracked.retried, [413])
    assert.equal(served.events.sizes.length, 1, 'only the POST was an event')
    assert.equal(await served.offset(tracked.upload.url), 0)
  })

  void test('tus-js-client, PATCHes that are cut: the offset stays at the last whole chunk, and it goes on there', async () => {
    await using served = await serve()
    await using proxy = await startBreakingProxy(served.port, [
      { at: 3 * mib, kind: 'cut' },
      { at: 3 * mib + 6 * mib, kind: 'reset' },
    ])
    const bytes = randomBytes(10 * mib)
    const { upload, answers } = await run(trackUpload(bytes, { endpoint: `${proxy.origin}/files`, chunkSize }))
    assert.equal(proxy.happened.length, 2)
    const offsets = (wanted: string) => answers.filter(({ method }) => method === wanted).map(({ offset }) => offset)
    assert.deepEqual(offsets('HEAD'), [0, 4 * mib])
    assert.deepEqual(offsets('PATCH'), [4 * mib, 8 * mib, 10 * mib])
    assert.equal(hashOf(await served.stored(upload.url)), hashOf(bytes))
  })

  void test('GET of more than the limit: 502 by Lambda; the object is in the bucket', async () => {
    await using served = await serve()
    const bytes = randomBytes(6 * mib)
    const { upload } = await run(trackUpload(bytes, { endpoint: `${served.origin}/files`, chunkSize }))
    assert.equal((await fetch(upload.url ?? '')).status, 502)
    assert.equal((await fetch(upload.url ?? '', { headers: { Range: 'bytes=0-4194303' } })).status, 206)
    assert.equal(hashOf(await served.stored(upload.url)), hashOf(bytes))
  })
})

async function serve() {
  const s3 = minio ?? assert.fail('no server')
  const { endpoint, region, accessKeyId, secretAccessKey } = s3
  const bucket = await s3.newBucket()
  const store = s3Store({
    bucket,
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
  })
  const events: Events = { sizes: [] }
  // The function believes in https, which ends before it; here nothing does.
  const handler = createTusHandler({ path: '/files', store, downloads: true, location: { relative: true } })
  const server = await lambdaServer(handler, events)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const idOf = (url: string | null) => url?.split('/').at(-1) ?? assert.fail('no upload')
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    events,
    async offset(url: string | null): Promise<number | undefined> {
      return (await store.get(idOf(url)))?.offset
    },
    async stored(url: string | null): Promise<Uint8Array> {
      const upload = await store.get(idOf(url))
      assert.ok(upload !== null && store.read !== undefined)
      return Buffer.concat(await Array.fromAsync(store.read(upload, { start: 0, end: upload.offset })))
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await handler.close()
    },
  }
}
