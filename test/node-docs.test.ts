import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { settingsTable } from '../src/node/help.ts'

test('docs/configuration.md holds the table of all settings as they are', async () => {
  const page = await readFile(new URL('../docs/configuration.md', import.meta.url), 'utf8')
  const squeeze = (text: string) =>
    text.replace(/ +/g, ' ').replace(/-{3,}/g, '---').replaceAll('| ---', '|---').replaceAll('--- |', '---|')
  assert.ok(
    squeeze(page).includes(squeeze(settingsTable())),
    `docs/configuration.md is out of date; the table is now:\n\n${settingsTable()}`,
  )
})
