/** The page of FILELOFT_DEMO as people meet it: errors, phones, the dark, keyboards. */
import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeFile, MiB } from '../clients/support.ts'
import { assertFits, openDemo, setStage, skipWithoutChromium, type Stage } from './support.ts'

describe('the page of FILELOFT_DEMO', { skip: skipWithoutChromium }, () => {
  let stage: Stage
  before(async () => {
    stage = await setStage()
  })
  after(() => stage[Symbol.asyncDispose]())

  test('an upload that somebody else removed: gone from the list', async () => {
    await using demo = await openDemo(stage.browser, stage.server.origin)
    await demo.choose(stage.small.path)
    await demo.button('Upload 1 file').click()
    await demo.complete()
    await fetch(await demo.urlOf('small.bin'), { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } })
    await demo.comeBack('reload')
    await demo.page.getByText('Nothing yet.').waitFor()
    assert.deepEqual(await demo.listed(), [])
  })

  test('refused, too large, not deleted: said in words', async () => {
    const huge = await makeFile(join(stage.folder, 'huge.bin'), 51 * MiB)
    await using demo = await openDemo(stage.browser, stage.server.origin)
    const { page } = demo
    await demo.choose(huge.path)
    await page.getByText('huge.bin exceeds maximum allowed size of 50 MB').first().waitFor()

    await page.route('**/files', (route) => route.fulfill({ status: 403, body: 'No more today\n' }), { times: 1 })
    await demo.choose(stage.small.path)
    await demo.button('Upload 1 file').click()
    await page
      .getByRole('alert')
      .getByText('small.bin was not uploaded: the server does not allow it (403: No more today).')
      .waitFor()
    await demo.button('Retry upload').click()
    await demo.complete()
    assert.equal(await page.locator('#problems').textContent(), '')

    await page.route('**/files/*', (route) => route.fulfill({ status: 423, body: '' }), { times: 1 })
    await demo.button('Delete small.bin').click()
    await demo.button('Delete').click()
    await page.getByText('small.bin was not deleted: somebody else keeps sending this upload (423).').waitFor()
    assert.deepEqual(await demo.listed(), ['small.bin'])
  })

  test('answers that are worth another try: said in words until it moves again', async () => {
    await using demo = await openDemo(stage.browser, stage.server.origin)
    const { page } = demo
    const said = page.getByRole('status').getByText('Trying again: the server has no space left (507: Full).')
    await page.route('**/files', (route) => route.fulfill({ status: 507, body: 'Full\n' }), { times: 2 })
    await demo.choose(stage.small.path)
    await demo.button('Upload 1 file').click()
    await said.waitFor()
    await demo.complete()
    assert.equal(await said.count(), 0)
    assert.deepEqual(await demo.shown(), ['small.bin'])

    await page.route('**/files', (route) => route.abort('connectionrefused'), { times: 2 })
    await demo.button('Add more files').click()
    await demo.choose(stage.big.path)
    // What is complete is not counted again.
    assert.deepEqual(await demo.shown(), ['big.bin'])
    await demo.button('Upload 1 file').click()
    await page.getByText('Trying again: the server does not answer, or the network is gone.').waitFor()
    await demo.complete()
  })

  test('375 px wide: nothing to scroll sideways, whatever the files are called', async () => {
    const name = `${'AnameWithoutAnySpace'.repeat(7)}.bin`
    await copyFile(stage.small.path, join(stage.folder, name))
    await using demo = await openDemo(stage.browser, stage.server.origin, {
      viewport: { width: 375, height: 700 },
      hasTouch: true,
    })
    await assertFits(demo.page)
    await demo.choose(join(stage.folder, name))
    await demo.button('Upload 1 file').tap()
    await demo.complete()
    assert.deepEqual(await demo.listed(), [name])
    await assertFits(demo.page)
    await demo.button(`Delete ${name}`).tap()
    await demo.button('Keep it').waitFor()
    await assertFits(demo.page)
    const box = (await demo.page.getByRole('dialog').boundingBox()) ?? assert.fail('no dialog')
    assert.ok(box.x >= 0 && box.x + box.width <= 375, JSON.stringify(box))
  })

  test('prefers-color-scheme: light on dark where it is dark, dark on light elsewhere', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using demo = await openDemo(stage.browser, stage.server.origin, { colorScheme })
      await demo.button('browse files').waitFor()
      const brightness = (selector: string, property: 'color' | 'backgroundColor') =>
        demo.page
          .locator(selector)
          .first()
          .evaluate((element, property) => {
            const [r = 0, g = 0, b = 0] = (/\d+, \d+, \d+/.exec(getComputedStyle(element)[property])?.[0] ?? '')
              .split(', ')
              .map(Number)
            return (r + g + b) / 3
          }, property)
      const backgrounds = [
        await brightness('body', 'backgroundColor'),
        await brightness('.uppy-Dashboard-inner', 'backgroundColor'),
      ]
      const texts = [
        await brightness('h1', 'color'),
        await brightness('header p', 'color'),
        await brightness('.uppy-Dashboard-AddFiles-title', 'color'),
      ]
      const isDark = colorScheme === 'dark'
      assert.ok(
        backgrounds.every((value) => (isDark ? value < 60 : value > 220)),
        `${colorScheme}: ${backgrounds.join()}`,
      )
      assert.ok(
        texts.every((value) => (isDark ? value > 150 : value < 110)),
        `${colorScheme}: ${texts.join()}`,
      )
    }
  })

  test('by keyboard alone: chosen, uploaded, deleted', async () => {
    await using demo = await openDemo(stage.browser, stage.server.origin)
    const { page } = demo
    /** Presses Tab until that has the focus. */
    const tabTo = async (name: string) => {
      for (let i = 0; i < 30; i++) {
        const label = await page.evaluate(() => {
          const element = document.activeElement
          return element?.getAttribute('aria-label') ?? element?.textContent?.trim() ?? ''
        })
        if (label === name) return
        await page.keyboard.press('Tab')
      }
      assert.fail(`Tab does not lead to ${name}`)
    }
    await demo.button('browse files').waitFor()
    const choosing = page.waitForEvent('filechooser')
    await tabTo('browse files')
    await page.keyboard.press('Enter')
    await (await choosing).setFiles(stage.small.path)
    await demo.button('Upload 1 file').waitFor()
    await tabTo('Upload 1 file')
    await page.keyboard.press('Enter')
    await demo.complete()
    await tabTo('Delete small.bin')
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineStyle)
    assert.equal(outline, 'solid', 'one sees where the focus is')
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await tabTo('Delete')
    await page.keyboard.press('Enter')
    await page.getByText('small.bin is deleted.').waitFor()
    assert.deepEqual(await demo.listed(), [])
  })
})
