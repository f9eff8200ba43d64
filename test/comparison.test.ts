/** The README's comparison with other servers: what they offer is what those offer that the tests install. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { AzureStore } from '@tus/azure-store'
import { FileStore } from '@tus/file-store'
import { S3Store } from '@tus/s3-store'
import { startProgram } from './servers/program.ts'
import { findProgram } from './servers/versions.ts'

const [, comparison = ''] = readFileSync(new URL('../README.md', import.meta.url), 'utf8').split(/^\| Compared /m)

/** Cells of the rows that are about extensions, their links left out. */
function row(title: string): { tusd: string; tusServer: string } {
  const line = comparison.split('\n').find((each) => each.startsWith(`| ${title} `)) ?? assert.fail(`no row ${title}`)
  const [, , , tusd = '', tusServer = ''] = line.split('|').map((cell) => cell.trim().replace(/^\[(.*?)\].*$/, '$1'))
  return { tusd, tusServer }
}

const rows = {
  'checksum, checksum-trailer': ['checksum', 'checksum-trailer'],
  expiration: ['expiration'],
  termination: ['termination'],
  'length told later': ['creation-defer-length'],
  concatenation: ['concatenation'],
  'concatenation of uploads that still run': ['concatenation-unfinished'],
} as const

test('@tus/server: each of its stores declares what the table says', () => {
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
  const stores = {
    file: new FileStore({ directory: tmpdir() }),
    S3: new S3Store({ s3ClientConfig: { bucket: 'b', region: 'eu-central-1', credentials } }),
    Azure: new AzureStore({ account: 'a', accountKey: btoa('k'), containerName: 'c' }),
  }
  for (const [title, extensions] of Object.entries(rows)) {
    const can = Object.entries(stores).flatMap(([name, { extensions: declared }]) =>
      extensions.every((each) => declared.includes(each)) ? [name] : [],
    )
    const said = can.length === 0 ? 'no' : can.length === 3 ? 'every store' : `${can.join(' and ')} store`
    assert.equal(row(title).tusServer, said, title)
  }
})

test('tusd on a disk: OPTIONS tells what the table says', async (t) => {
  const command = findProgram('tusd')
  if (command === null) return t.skip('tusd is not installed')
  await using tusd = await startProgram({
    name: 'tusd',
    command,
    args: ({ port, folder }) => ['-host', '127.0.0.1', '-port', String(port), '-upload-dir', folder],
    ready: { path: '/' },
  })
  const answer = await fetch(`http://127.0.0.1:${tusd.port}/files/`, { method: 'OPTIONS' })
  const offered = answer.headers.get('Tus-Extension')?.split(',') ?? []
  assert.ok(offered.includes('creation'))
  for (const [title, extensions] of Object.entries(rows)) {
    const can = extensions.every((each) => offered.includes(each))
    assert.match(row(title).tusd, can ? /^(every store|disk\b)/ : /^no$/, title)
  }
})
