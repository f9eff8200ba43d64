/** docs/moving.md: it leaves nothing out that the other servers have, and names nothing that is not there. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { variables } from '../src/node/variables.ts'
import { findProgram } from './servers/versions.ts'

const page = await readFile(new URL('../docs/moving.md', import.meta.url), 'utf8')
const [, tusd = '', tusServer = ''] = page.split(/^## /m)

/** The left column of a table, its code only. */
function named(section: string, pattern: RegExp): string[] {
  const cells = [...section.matchAll(/^\| (.*?) \|/gm)].map((match) => match[1] ?? '')
  return cells.flatMap((cell) => [...cell.matchAll(pattern)].map((match) => match[1] ?? '')).sort()
}

test('each flag of tusd has a row that says what to do, and no row has a flag that it lacks', async (t) => {
  const program = findProgram('tusd')
  if (program === null) return t.skip('tusd is not installed')
  const { stdout, stderr } = await promisify(execFile)(program, ['-help']).catch(
    (error: { stdout: string; stderr: string }) => error,
  )
  const flags = [...`${stdout}\n${stderr}`.matchAll(/^\s+-([a-z0-9-]+)/gm)].map((match) => match[1] ?? '')
  assert.ok(flags.length > 50, stdout)
  assert.deepEqual(named(tusd, /`-([a-z0-9-]+)`/g), flags.sort())
})

test('each option of @tus/server has a row', async () => {
  const types = await readFile(new URL('../node_modules/@tus/server/dist/types.d.ts', import.meta.url), 'utf8')
  const [, body = ''] = /export type ServerOptions = \{([\s\S]*?)^\};/m.exec(types) ?? []
  const options = [...body.matchAll(/^ {4}(\w+)\??:/gm)].map((match) => match[1] ?? '')
  assert.ok(options.length > 15)
  const rows = named(tusServer, /`(\w+)`/g)
  assert.deepEqual(rows, [...options, 'datastore'].sort())
})

test('each variable that the page names is one', () => {
  const known: readonly string[] = Object.values(variables).map(({ name }) => name)
  const found = [...page.matchAll(/\bFILELOFT_\w+/g)].map(([name]) => name)
  assert.ok(found.length > 30)
  assert.deepEqual(
    found.filter((name) => !known.includes(name)),
    [],
  )
})
