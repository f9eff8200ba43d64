/** Uploads on the page of FILELOFT_DEMO: paused, left, gone on with. */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { assertStored, head, MiB, sha256 } from '../clients/support.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { dropCopies, openDemo, restorable, setStage, settled, skipWithoutChromium, type Stage } from './support.ts'

describe('uploads on the page of FILELOFT_DEMO', { skip: skipWithoutChromium }, () => {
  let stage: Stage
  before(async () => {
    stage = await setStage()
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const parts of [1, 4]) {
    test(`paused and resumed, in ${parts} part(s): identical, listed, downloaded, deleted`, async () => {
      await using proxy = await startBreakingProxy(stage.server.port, [{ kind: 'stall', at: 20 * MiB }])
      await using demo = await openDemo(stage.browser, proxy.origin)
      if (parts > 1) await demo.page.getByLabel('Send files in four parts at once').check()
      await demo.choose(stage.big.path)
      await demo.button('Upload 1 file').click()
      await proxy.reached(1)
      await demo.page.getByText(/^[\d.]+ MiB of 40 MiB · [\d.]+ [KM]iB\/s · \d+:\d\d left$/).waitFor()
      await demo.button('Pause').click()
      await demo.page.getByText(/^[\d.]+ MiB of 40 MiB$/).waitFor()
      await demo.button('Resume').click()
      await demo.complete()

      const url = await demo.urlOf('big.bin')
      assert.deepEqual(await demo.listed(), ['big.bin'])
      await assertStored(stage.server, url, stage.big)
      const posts = demo.requests.filter(({ method }) => method === 'POST').length
      assert.equal(posts, parts === 1 ? 1 : parts + 1, 'it went on, not over')

      const downloading = demo.page.waitForEvent('download')
      await demo.page.getByRole('link', { name: 'Download big.bin' }).click()
      const download = await downloading
      assert.equal(download.suggestedFilename(), 'big.bin')
      assert.equal(await sha256(createReadStream(await download.path())), stage.big.sha256)

      await demo.button('Delete big.bin').click()
      await demo.button('Keep it').click()
      assert.deepEqual(await demo.listed(), ['big.bin'])
      await demo.button('Delete big.bin').click()
      await demo.button('Delete').click()
      await demo.page.getByText('big.bin is deleted.').waitFor()
      assert.deepEqual(await demo.listed(), [])
      assert.equal((await head(stage.server, url)).status, 404)
    })
  }

  test('the server stops in mid-upload: said, with neither a rate nor a time left, until it is back', async () => {
    await using proxy = await startBreakingProxy(stage.server.port, [{ kind: 'stall', at: 20 * MiB }])
    await using demo = await openDemo(stage.browser, proxy.origin)
    await demo.choose(stage.big.path)
    await demo.button('Upload 1 file').click()
    await proxy.reached(1)
    await demo.page.getByText(/ left$/).waitFor()
    await stage.server.stop('SIGKILL')
    proxy.breakAll('cut')
    await demo.page.getByText('Trying again: the server does not answer, or the network is gone.').waitFor()
    assert.match((await demo.page.locator('#speed').textContent()) ?? '', /^[\d.]+ MiB of 40 MiB$/)
    await stage.server.restart()
    await demo.complete()
    assert.equal(await demo.page.getByText('Trying again').count(), 0)
    await assertStored(stage.server, await demo.urlOf('big.bin'), stage.big)
  })

  for (const how of ['reload', 'new tab'] as const) {
    test(`left in mid-upload, come back (${how}): files are still there, it goes on`, async () => {
      await using proxy = await startBreakingProxy(stage.server.port, [{ kind: 'stall', at: 20 * MiB }])
      await using demo = await openDemo(stage.browser, proxy.origin)
      await demo.choose(stage.big.path, stage.small.path)
      await demo.button('Upload 2 files').click()
      await proxy.reached(1)
      // The list is kept as well; what is shown has been stored by then.
      await demo.page.getByRole('link', { name: 'Download small.bin' }).waitFor()
      await restorable(demo.page, 1)
      await demo.comeBack(how)
      await demo.page.getByText('Session restored').waitFor()
      // What is complete is not among them.
      await demo.button('Upload 1 file').click()
      await demo.complete()

      assert.deepEqual(await demo.listed(), ['big.bin', 'small.bin'])
      await assertStored(stage.server, await demo.urlOf('big.bin'), stage.big)
      await assertStored(stage.server, await demo.urlOf('small.bin'), stage.small)
      assert.equal(demo.requests.filter(({ method }) => method === 'POST').length, 2)
      // Nothing is left to restore.
      await settled(demo.page)
      await demo.comeBack(how)
      await demo.button('browse files').waitFor()
      assert.deepEqual(await demo.listed(), ['big.bin', 'small.bin'])
    })
  }

  test('left in mid-upload, no copy of the file was kept: it is asked for, then it goes on', async () => {
    await using proxy = await startBreakingProxy(stage.server.port, [{ kind: 'stall', at: 20 * MiB }])
    await using demo = await openDemo(stage.browser, proxy.origin)
    await demo.choose(stage.big.path)
    await demo.button('Upload 1 file').click()
    await proxy.reached(1)
    await restorable(demo.page, 0)
    await dropCopies(demo.page)
    await demo.comeBack('new tab')
    await demo.page.getByText('We could not fully recover 1 file. Please re-select it and resume the upload.').waitFor()
    await demo.button('Re-select').click()
    await demo.choose(stage.big.path)
    await demo.button('Upload 1 file').click()
    await demo.complete()
    await assertStored(stage.server, await demo.urlOf('big.bin'), stage.big)
    assert.equal(demo.requests.filter(({ method }) => method === 'POST').length, 1)
  })
})
