/** Uppy's Dashboard with its Tus plugin in headless Chromium, on a page of another origin, against the real command. */
import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer } from '../support/server.ts'
import { findChromium, launchChromium, openDashboard, servePage } from './page.ts'
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

const executablePath = findChromium()
const missing = 'Chromium is missing: apt-get install -y chromium'
// Where nobody looks at what was left out, leaving it out is a failure.
const skip = executablePath === null && process.env['CI'] === undefined ? missing : false

describe('Uppy in Chromium', { skip }, () => {
  const resources = new AsyncDisposableStack()
  let browser: Browser
  let origin: string
  let folder: string
  let big: SourceFile
  let small: SourceFile
  before(async () => {
    assert.ok(executablePath !== null, missing)
    folder = resources.use(await temporaryFolder()).path
    big = await makeFile(join(folder, 'big.bin'), 200 * MiB)
    small = await makeFile(join(folder, 'small.bin'), 24 * MiB + 12_345)
    origin = resources.use(await servePage()).origin
    browser = await launchChromium(executablePath)
    resources.defer(() => browser.close())
  })
  after(() => resources.disposeAsync())

  test('200 MiB, connection broken three times, paused and resumed by the buttons: one identical file', async () => {
    await using server = await startServer()
    await using proxy = await startBreakingProxy(server.port, [
      { kind: 'reset', at: 30 * MiB },
      { kind: 'vanish', at: 80 * MiB },
      { kind: 'stall', at: 130 * MiB },
      { kind: 'cut', at: 190 * MiB },
    ])
    await using dashboard = await openDashboard(browser, origin, { endpoint: `${proxy.origin}/files/` })
    await dashboard.upload(big.path)
    await dashboard.during(proxy.reached(3))
    await dashboard.button('Pause').click()
    await dashboard.button('Resume').waitFor()
    const screenshot = join(folder, 'paused.png')
    await dashboard.page.screenshot({ path: screenshot })
    assert.ok((await stat(screenshot)).size > 5_000, 'the screenshot shows something')
    await dashboard.button('Resume').click()
    const [url, ...others] = await dashboard.finished()

    assert.ok(url !== undefined && others.length === 0)
    assert.equal(proxy.happened.length, 4)
    await dashboard.page.getByRole('status').getByText('Complete').waitFor()
    await assertStored(server, url, big)
    assert.deepEqual(await storedIds(server), [idOf(url)], 'the client never had to start over')
    // Fewer than faults: Chromium itself repeats a request whose kept-alive connection broke, and is told 409.
    const resumed = dashboard.answers.filter(({ method }) => method === 'HEAD')
    assert.ok(
      resumed.length >= 2 && resumed.every(({ offset }) => offset !== null && offset > 0),
      'it went on, not over',
    )
    assertOffsetsNeverGoBack(dashboard.answers)
  })

  test('200 MiB, parallelUploads: 4, connections broken six times: one identical file', async () => {
    await using server = await startServer({
      env: { FILELOFT_ENABLE_CONCATENATION: 'true', FILELOFT_CORS_ALLOW_ORIGIN: `https://other.example,${origin}` },
    })
    const faults = seededPoints('uppy', 6, 5 * MiB, 190 * MiB).map((at) => ({ kind: 'reset' as const, at }))
    await using proxy = await startBreakingProxy(server.port, faults)
    const parameters = { endpoint: `${proxy.origin}/files/`, parallel: '4' }
    await using dashboard = await openDashboard(browser, origin, parameters)
    await dashboard.upload(big.path)
    const [url] = await dashboard.finished()

    assert.ok(url !== undefined)
    assert.equal(proxy.happened.length, faults.length)
    await assertStored(server, url, big)
    assert.equal(countAnswers(dashboard.answers, 'POST', 201), 5, 'four partial uploads and the final one')
    assertOffsetsNeverGoBack(dashboard.answers)
  })

  test('page reloaded in the middle, the same file added again: it goes on, not over', async () => {
    await using server = await startServer()
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 16 * MiB }])
    const parameters = { endpoint: `${proxy.origin}/files/` }
    await using dashboard = await openDashboard(browser, origin, parameters)
    await dashboard.upload(small.path)
    await dashboard.during(proxy.reached(1))
    await dashboard.page.reload()
    await dashboard.upload(small.path)
    const [url] = await dashboard.finished()

    assert.ok(url !== undefined)
    assert.equal(countAnswers(dashboard.answers, 'POST', 201), 1)
    const resumed = dashboard.answers.find(({ method }) => method === 'HEAD')
    assert.ok((resumed?.offset ?? 0) > 0, 'it went on, not over')
    await assertStored(server, url, small)
  })

  test('credentials with a named origin: uploaded', async () => {
    await using server = await startServer({
      env: { FILELOFT_CORS_ALLOW_ORIGIN: origin, FILELOFT_CORS_ALLOW_CREDENTIALS: 'true' },
    })
    const parameters = { endpoint: `${server.url}/`, credentials: '1' }
    await using dashboard = await openDashboard(browser, origin, parameters)
    await dashboard.upload(small.path)
    const [url] = await dashboard.finished()
    await assertStored(server, url ?? null, small)
  })

  test('origin that is not allowed: the browser refuses, nothing is created', async () => {
    await using server = await startServer({ env: { FILELOFT_CORS_ALLOW_ORIGIN: 'https://other.example' } })
    const parameters = { endpoint: `${server.url}/`, impatient: '1' }
    await using dashboard = await openDashboard(browser, origin, parameters)
    await dashboard.upload(small.path)
    await assert.rejects(dashboard.finished(), /Uppy gave up/)
    assert.deepEqual(await storedIds(server), [])
  })
})
