/** The protocol suites in process: a Request in, a Response out, no server in between. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inProcess } from './in-process.ts'
import { runSuites } from './run-suites.ts'
import { suites } from './suites/index.ts'
import { show } from './suites/support.ts'

void test('the suites: 200 cases or more, each with a title of its own', () => {
  const titles = suites.flatMap((suite) => suite.cases.map(({ title }) => `${suite.name}: ${title}`))
  assert.ok(titles.length >= 200, `only ${titles.length} cases`)
  const twice = titles.filter((title, i) => titles.indexOf(title) !== i)
  assert.deepEqual(twice, [], `the same title twice: ${show(twice)}`)
})

runSuites(inProcess)
