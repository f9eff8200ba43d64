/** A request that stands still holds an upload's lock, and the client that comes back wants it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import {
  assertOffsetsNeverGoBack,
  assertStored,
  countAnswers,
  head,
  makeFile,
  MiB,
  type SourceFile,
  storedIds,
  temporaryFolder,
} from './support.ts'
import { trackUpload } from './tus.ts'

/** "Within seconds": the locks' own timeout is 20 s, the idle timeout 60 s. */
const soonMs = 5_000

/** More than the kernel's buffers hold, so that the server has read some of it whatever else the machine does. */
const stallAt = 16 * MiB

describe('tus-js-client and a holder that stands still', () => {
  const resources = new AsyncDisposableStack()
  let server: TestServer
  let file: SourceFile
  before(async () => {
    server = resources.use(await startServer())
    const folder = resources.use(await temporaryFolder())
    file = await makeFile(join(folder.path, 'source.bin'), 24 * MiB + 12_345)
  })
  after(() => resources.disposeAsync())

  test('PATCH stalled, another client asks HEAD: told what was flushed; the holder gets 423, retries and finishes', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: stallAt }])
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files` })
    tracked.upload.start()
    await tracked.during(proxy.reached(1))

    const started = performance.now()
    const { status, offset } = await head(server, tracked.upload.url ?? '')
    const took = performance.now() - started
    await tracked.finished

    assert.equal(status, 200)
    assert.ok(took < soonMs, `HEAD was answered after ${took} ms`)
    assert.ok(offset !== null && offset > 0 && offset < stallAt, `HEAD told ${offset}`)
    assert.deepEqual(tracked.retried, [423], 'the client asked its rule once, about a 423')
    const resumed = tracked.answers.find((answer) => answer.method === 'HEAD')
    assert.equal(resumed?.offset, offset, 'the holder goes on where the newcomer was told')
    assert.equal(countAnswers(tracked.answers, 'POST'), 1)
    assertOffsetsNeverGoBack(tracked.answers)
    await assertStored(server, tracked.upload.url, file)
  })

  test('PATCH vanished, the server sees an open connection: the same client resumes within seconds', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'vanish', at: stallAt }])
    const before = await storedIds(server)
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files` })
    const started = performance.now()
    tracked.upload.start()
    await tracked.finished
    const took = performance.now() - started

    assert.deepEqual(tracked.retried, [null], 'one retry, after the connection had broken')
    assert.ok(took < soonMs, `the upload took ${took} ms`)
    assert.ok((tracked.answers.find((answer) => answer.method === 'HEAD')?.offset ?? 0) > 0, 'it went on, not over')
    assert.equal((await storedIds(server)).length, before.length + 1, 'the client did not start over')
    await assertStored(server, tracked.upload.url, file)
  })

  test('PATCH cut, nobody asks before the server has noticed: every byte that was passed on is kept', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'cut', at: stallAt }])
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files`, retryDelays: null })
    tracked.upload.start()
    await assert.rejects(tracked.finished)
    const url = tracked.upload.url ?? assert.fail('no URL')
    await server.logged(({ method, path }) => method === 'PATCH' && path === new URL(url).pathname)
    const { offset } = await head(server, url)
    // The heads of the POST and the PATCH went over the wire as well.
    assert.ok(offset !== null && offset < stallAt && offset > stallAt - 2048, `HEAD told ${offset}`)
  })

  test('PATCH half closed, the server sees an early end: nothing final is answered, the client resumes', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'half-close', at: stallAt }])
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files` })
    tracked.upload.start()
    await tracked.finished
    assert.equal(tracked.retried.length, 1)
    await assertStored(server, tracked.upload.url, file)
  })

  test('PATCH vanished, the client terminates instead: gone within seconds', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'vanish', at: stallAt }])
    const tracked = trackUpload(file.path, { endpoint: `${proxy.origin}/files`, retryDelays: null })
    tracked.upload.start()
    await assert.rejects(tracked.finished)
    const started = performance.now()
    await tracked.upload.abort(true)
    const took = performance.now() - started
    assert.ok(took < soonMs, `DELETE was answered after ${took} ms`)
    assert.equal((await head(server, tracked.upload.url ?? '')).status, 404)
  })
})
