/** tus-js-client on Node against the real command: interrupted, paused, in parallel, and with the server restarted. */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { FileUrlStorage, type UploadOptions } from 'tus-js-client'
import { type Fault, type FaultKind, startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer } from '../support/server.ts'
import {
  assertOffsetsNeverGoBack,
  assertStored,
  countAnswers,
  idOf,
  makeFile,
  MiB,
  seededPoints,
  type SourceFile,
  storedIds,
  temporaryFolder,
} from './support.ts'
import { run, trackUpload } from './tus.ts'

/** All kinds that a client can recover from by itself, without a timeout of its own. */
const recoverable: readonly FaultKind[] = ['cut', 'reset', 'vanish']

describe('tus-js-client with 200 MiB', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let file: SourceFile
  before(async () => {
    folder = await temporaryFolder()
    file = await makeFile(join(folder.path, 'source.bin'), 200 * MiB)
  })
  after(() => folder[Symbol.asyncDispose]())

  test('upload, connection broken at 12 points, server killed once and restarted once: one identical file', async () => {
    await using server = await startServer()
    const faults: Fault[] = seededPoints('single', 12, MiB, 195 * MiB).map((at, i) => ({ at, kind: kindOf(i) }))
    const [killAt, restartAt] = [70 * MiB, 140 * MiB]
    faults.push({ at: killAt, kind: 'stall' }, { at: restartAt, kind: 'stall' })
    await using proxy = await startBreakingProxy(server.port, faults)
    const indexOf = (at: number) =>
      faults
        .map((fault) => fault.at)
        .sort((a, b) => a - b)
        .indexOf(at)

    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files` })
    tracked.upload.start()
    await tracked.during(proxy.reached(indexOf(killAt) + 1))
    await server.restart({ signal: 'SIGKILL' })
    await tracked.during(proxy.reached(indexOf(restartAt) + 1))
    await server.restart({ signal: 'SIGTERM' })
    await tracked.finished

    assert.equal(proxy.happened.length, faults.length)
    await assertStored(server, tracked.upload.url, file)
    assert.deepEqual(await storedIds(server), [idOf(tracked.upload.url)], 'the client never had to start over')
    assert.ok(countAnswers(tracked.answers, 'HEAD', 200) >= 12, 'the client resumed after each interruption')
    assertOffsetsNeverGoBack(tracked.answers)
  })

  test('upload, paused and resumed, then taken up by a new client from its URL storage: one identical file', async () => {
    await using server = await startServer()
    await using urls = await temporaryFolder()
    const options: UploadOptions = {
      endpoint: server.url,
      urlStorage: new FileUrlStorage(join(urls.path, 'urls.json')),
      storeFingerprintForResuming: true,
      removeFingerprintOnSuccess: true,
    }
    const first = trackUpload(file.path, options)
    for (const pauseAt of [50 * MiB, 100 * MiB]) {
      const reached = first.progress(pauseAt)
      first.upload.start()
      await first.during(reached)
      await first.upload.abort()
    }

    const second = trackUpload(file.path, options)
    const [previous, ...others] = await second.upload.findPreviousUploads()
    assert.ok(previous !== undefined && others.length === 0, 'the storage knows one upload of this file')
    assert.equal(previous.uploadUrl, first.upload.url)
    second.upload.resumeFromPreviousUpload(previous)
    await run(second)

    await assertStored(server, second.upload.url, file)
    const answers = [...first.answers, ...second.answers]
    assert.equal(countAnswers(answers, 'POST'), 1)
    assert.ok((answers.findLast(({ method }) => method === 'HEAD')?.offset ?? 0) > 0, 'it went on, not over')
    assertOffsetsNeverGoBack(answers)
    assert.deepEqual(await second.upload.findPreviousUploads(), [], 'the finished upload is forgotten')
  })

  test('parallelUploads: 4, connections broken at 10 points, paused and resumed: one identical file', async () => {
    await using server = await startServer({
      env: { FILELOFT_ENABLE_CONCATENATION: 'true', FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS: 'true' },
    })
    const points = seededPoints('parallel', 10, MiB, 195 * MiB)
    await using proxy = await startBreakingProxy(
      server.port,
      points.map((at, i) => ({ at, kind: kindOf(i) })),
    )
    const tracked = trackUpload(file.path, {
      endpoint: `${proxy.origin}/files`,
      parallelUploads: 4,
      metadata: { filename: 'joined.bin' },
    })
    const reached = tracked.progress(100 * MiB)
    tracked.upload.start()
    await tracked.during(reached)
    await tracked.upload.abort()
    tracked.upload.start()
    await tracked.finished

    assert.equal(proxy.happened.length, points.length)
    await assertStored(server, tracked.upload.url, file)
    assert.equal(countAnswers(tracked.answers, 'POST', 201), 5, 'four partial uploads and the final one')
    assert.deepEqual(await storedIds(server), [idOf(tracked.upload.url)], 'the partial uploads are cleaned up')
    assertOffsetsNeverGoBack(tracked.answers)
  })

  test('uploadLengthDeferred from a stream, connection broken at 10 points: one identical file', async () => {
    await using server = await startServer()
    const points = seededPoints('deferred', 10, MiB, 195 * MiB)
    await using proxy = await startBreakingProxy(
      server.port,
      points.map((at, i) => ({ at, kind: kindOf(i) })),
    )
    // A transform hides the file behind the stream: the client cannot know its size.
    const stream = createReadStream(file.path).pipe(new PassThrough())
    const tracked = await run(
      trackUpload(stream, {
        endpoint: `${proxy.origin}/files`,
        uploadLengthDeferred: true,
        // Not a divisor of the size: the client waits for ever for the end of a stream that ends with a full chunk.
        chunkSize: 7 * MiB,
      }),
    )

    assert.equal(proxy.happened.length, points.length)
    await assertStored(server, tracked.upload.url, file)
    assert.equal(countAnswers(tracked.answers, 'POST'), 1)
    assertOffsetsNeverGoBack(tracked.answers)
  })
})

function kindOf(index: number): FaultKind {
  return recoverable[index % recoverable.length] ?? 'cut'
}
