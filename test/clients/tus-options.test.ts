/** Every option of tus-js-client that changes what it sends, on files small enough to run them all. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DetailedError, Upload } from 'tus-js-client'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import {
  assertOffsetsNeverGoBack,
  assertStored,
  countAnswers,
  head,
  idOf,
  makeFile,
  MiB,
  type SourceFile,
  storedIds,
  temporaryFolder,
} from './support.ts'
import { run, statusOf, trackUpload } from './tus.ts'

describe('tus-js-client with small files', () => {
  const resources = new AsyncDisposableStack()
  let server: TestServer
  let file: SourceFile
  before(async () => {
    server = resources.use(await startServer({ env: { FILELOFT_MAX_SIZE: String(64 * MiB) } }))
    const folder = resources.use(await temporaryFolder())
    file = await makeFile(join(folder.path, 'source.bin'), 24 * MiB + 12_345)
  })
  after(() => resources.disposeAsync())

  test('uploadDataDuringCreation: everything in one POST', async () => {
    const tracked = await run(trackUpload(file.path, { endpoint: server.url, uploadDataDuringCreation: true }))
    assert.deepEqual(
      tracked.answers.map(({ method, status, offset }) => ({ method, status, offset })),
      [{ method: 'POST', status: 201, offset: file.size }],
    )
    await assertStored(server, tracked.upload.url, file)
  })

  test('uploadDataDuringCreation with chunkSize, a chunk broken off: it resumes', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'cut', at: 13 * MiB }])
    const tracked = await run(
      trackUpload(file.path, {
        endpoint: `${proxy.origin}/files`,
        uploadDataDuringCreation: true,
        chunkSize: 10 * MiB,
      }),
    )
    assert.deepEqual(
      tracked.answers.map(({ method, status }) => `${method} ${status}`),
      ['POST 201', 'HEAD 200', 'PATCH 204', 'PATCH 204'],
    )
    assertOffsetsNeverGoBack(tracked.answers)
    await assertStored(server, tracked.upload.url, file)
  })

  test('chunkSize: one PATCH for each chunk', async () => {
    const tracked = await run(trackUpload(file.path, { endpoint: server.url, chunkSize: MiB }))
    assert.equal(countAnswers(tracked.answers, 'PATCH', 204), 25)
    await assertStored(server, tracked.upload.url, file)
  })

  test('uploadLengthDeferred from a file: the length comes with the last chunk', async () => {
    const tracked = await run(trackUpload(file.path, { endpoint: server.url, uploadLengthDeferred: true }))
    await assertStored(server, tracked.upload.url, file)
  })

  test('overridePatchMethod: POST stands for PATCH', async () => {
    const tracked = await run(trackUpload(file.path, { endpoint: server.url, overridePatchMethod: true }))
    assert.deepEqual(
      tracked.answers.map(({ method, status }) => `${method} ${status}`),
      ['POST 201', 'POST 204'],
    )
    await assertStored(server, tracked.upload.url, file)
  })

  for (const uploadDataDuringCreation of [false, true]) {
    test(`empty file, uploadDataDuringCreation ${uploadDataDuringCreation}: complete at once`, async () => {
      const empty = await makeFile(`${file.path}.empty`, 0)
      const tracked = await run(
        trackUpload(Buffer.alloc(0), { endpoint: server.url, uploadDataDuringCreation, metadata: { filename: '' } }),
      )
      await assertStored(server, tracked.upload.url, empty)
    })
  }

  test('metadata with unicode: HEAD tells the same bytes', async () => {
    const metadata = { filename: 'Übung 数据 🚀 "x";\r\n.txt', note: '', 'weird-key!': 'ключ' }
    const tracked = await run(trackUpload(Buffer.from('x'), { endpoint: server.url, metadata }))
    const url = tracked.upload.url ?? assert.fail('no URL')
    const answer = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
    const pairs = (answer.headers.get('upload-metadata') ?? '').split(',').map((pair) => pair.split(' '))
    const decoded = pairs.map(([key, value]) => [key, Buffer.from(value ?? '', 'base64').toString()])
    assert.deepEqual(Object.fromEntries(decoded), metadata)
  })

  test('abort(true) in the middle of a PATCH: the upload is gone', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 8 * MiB }])
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files` })
    tracked.upload.start()
    await tracked.during(proxy.reached(1))
    const { url } = tracked.upload
    await tracked.upload.abort(true)
    assert.equal((await head(server, url ?? '')).status, 404)
    assert.ok(!(await storedIds(server)).includes(idOf(url)), 'nothing of it is left in the folder')
  })

  test('Upload.terminate of a finished upload: gone, and a second time refused without a retry', async () => {
    const tracked = await run(trackUpload(Buffer.from('to be removed'), { endpoint: server.url }))
    const url = tracked.upload.url ?? assert.fail('no URL')
    await Upload.terminate(url, { ...tracked.upload.options, retryDelays: [10] })
    assert.ok(!(await storedIds(server)).includes(idOf(url)), 'nothing of it is left in the folder')
    await assert.rejects(
      Upload.terminate(url, tracked.upload.options),
      (error) => error instanceof DetailedError && statusOf(error) === 404,
    )
    assert.deepEqual(tracked.retried, [404])
  })

  test('file over the limit: refused with 413 and not tried again', async () => {
    const tracked = trackUpload(Buffer.alloc(64 * MiB + 1), { endpoint: server.url })
    tracked.upload.start()
    await assert.rejects(tracked.finished, (error) => error instanceof DetailedError && statusOf(error) === 413)
    assert.equal(tracked.answers.length, 1)
  })
})
