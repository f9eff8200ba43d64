/**
 * Links between the pages: each leads to a file that is there, and to a heading that it has. Files of the tests are named
 * only, since the pages are in packages that do not have them.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../', import.meta.url))
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
  .concat(readdirSync(join(root, 'docs')).map((name) => `docs/${name}`))
  .filter((name) => name.endsWith('.md'))

/** Names of a page's headings in links, as GitHub makes them. */
function anchors(path: string): string[] {
  const text = readFileSync(path, 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '')
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

let count = 0
for (const page of pages) {
  test(`${page}: every link within the repository leads somewhere`, () => {
    const text = readFileSync(join(root, page), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      count++
      const [file = '', anchor] = target.split('#')
      const path = file === '' ? join(root, page) : join(root, dirname(page), file)
      assert.ok(!relative(root, path).startsWith('..') && existsSync(path), `${target} is not there`)
      if (anchor === undefined) continue
      assert.ok(statSync(path).isFile() && anchors(path).includes(anchor), `${target}: there is no such heading`)
    }
  })
}

let named = 0
for (const page of pages) {
  test(`${page}: every file of the tests that it names is there, and none is a link`, () => {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, path = ''] of text.matchAll(/`(test\/[\w./-]+)`/g)) {
      named++
      assert.ok(existsSync(join(root, path)), path)
    }
    assert.doesNotMatch(text, /\]\((\.\.\/)?test\//)
  })
}

test('there are files of the tests at all', () => assert.ok(named > 20, String(named)))

test('there are links at all', () => assert.ok(count > 40, String(count)))

test('every page of docs/ is linked from the README or from a page that is', () => {
  const seen = new Set(['README.md'])
  for (const page of seen) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\(([^)#\s]+\.md)[^)]*\)/g)) {
      const path = join(dirname(page), target)
      if (pages.includes(path)) seen.add(path)
    }
  }
  assert.deepEqual(
    pages.filter((page) => !seen.has(page)),
    [],
  )
})
