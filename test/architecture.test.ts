/** The picture in docs/architecture.md names all that there is in src, and nothing that is not. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

function pictureIn(page: string): string {
  return /^```\n([\s\S]*?)^```$/m.exec(read(page))?.[1] ?? ''
}

/** Files and folders directly in src that a picture names. */
function named(picture: string): string[] {
  const names = picture.match(/(?<![\w/])[a-z][a-z-]*(\/|\.ts)(?![\w])/g) ?? []
  return [...new Set(names)].sort()
}

const there = readdirSync(new URL('../src/', import.meta.url), { withFileTypes: true })
  .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
  .sort()

test('the picture of docs/architecture.md: every file and folder of src, no other', () => {
  assert.deepEqual(named(pictureIn('docs/architecture.md')), there)
})

test('the picture of the README: nothing that is not in src', () => {
  const names = named(read('README.md').split('## How it is built')[1]?.split('\n## ')[0] ?? '')
  assert.ok(names.length > 8, names.join(' '))
  assert.deepEqual(
    names.filter((name) => !there.includes(name)),
    [],
  )
})

test('lint: each layer has a rule that keeps it from importing upward', () => {
  const { overrides } = JSON.parse(read('.oxlintrc.json')) as {
    overrides: { files: string[]; rules: Record<string, unknown> }[]
  }
  const ruled = overrides.flatMap(({ files, rules }) => (rules['no-restricted-imports'] === undefined ? [] : files))
  for (const folder of there.filter((name) => name.endsWith('/') && name !== 'node/')) {
    assert.ok(ruled.includes(`src/${folder}**`), `src/${folder} has none`)
  }
})
