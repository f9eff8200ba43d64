/** The tables of the README against what the code, the suites and package.json really say. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createTusHandler, type Store } from '../src/index.ts'
import { variables } from '../src/node/variables.ts'
import { azureStore } from '../src/stores/azure.ts'
import { fileStore } from '../src/stores/fs.ts'
import { gcsStore } from '../src/stores/gcs.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { r2Store } from '../src/stores/r2.ts'
import { s3Store } from '../src/stores/s3.ts'
import { startCli, temporaryDirectory } from './cli-support.ts'
import { countCases, plan, workerdPlan } from './runtimes/plan.ts'
import { goPrograms } from './servers/versions.ts'

interface Manifest {
  readonly engines?: { readonly node: string }
  readonly exports?: object
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const readme = read('README.md')
const manifest = JSON.parse(read('package.json')) as Manifest
const runtimes = JSON.parse(read('test/runtimes/package.json')) as Manifest
const versions: Readonly<Record<string, string>> = {
  ...manifest.dependencies,
  ...manifest.devDependencies,
  ...runtimes.devDependencies,
}

/** The rows of the table whose first column has this name, by the text of that column. */
function table(first: string): Map<string, Readonly<Record<string, string>>> {
  const lines = new RegExp(`^\\| ${first} .*\\n(\\|.*\\n)*`, 'm').exec(readme)?.[0].trim().split('\n') ?? []
  const [head = [], , ...rows] = lines.map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
  assert.ok(rows.length > 1, `no table ${first}`)
  return new Map(rows.map((row) => [row[0] ?? '', Object.fromEntries(head.map((name, i) => [name, row[i] ?? '']))]))
}

/** `npm:node@22.1.0` and `22.1.0` alike. */
function version(name: string, numbers: number): string {
  const all = /\d+\.\d+\.\d+$/.exec(versions[name] ?? '')?.[0] ?? assert.fail(`${name} is no dependency`)
  return all.split('.').slice(0, numbers).join('.')
}

const words = (cell: string) => cell.split(/, /).toSorted()

const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
const columns: Readonly<Record<string, readonly (() => Store)[]>> = {
  'Memory, filesystem': [memoryStore, () => fileStore({ directory: 'unused' })],
  'S3, Google, Azure, R2': [
    () => s3Store({ bucket: 'unused', credentials }),
    () => gcsStore({ bucket: 'unused', endpoint: 'http://127.0.0.1:1' }),
    () =>
      azureStore({
        container: 'unused',
        connectionString: `DefaultEndpointsProtocol=http;AccountName=a;AccountKey=${btoa('k')};BlobEndpoint=http://127.0.0.1:1/a`,
      }),
    () =>
      r2Store({
        bucket: { createMultipartUpload() {}, get() {} } as unknown as Parameters<typeof r2Store>[0]['bucket'],
      }),
  ],
}

/** What OPTIONS tells, and whether the stores' uploads can be downloaded. */
async function offered(handler: (request: Request) => Promise<Response>): Promise<Set<string>> {
  const { headers } = await handler(new Request('http://a.example/files', { method: 'OPTIONS' }))
  return new Set(headers.get('Tus-Extension')?.split(','))
}

/** No runtime is around the handler here, so none tells it trailers. */
const trailer = 'checksum-trailer'
const downloads = 'downloads (GET, Range)'

test('extensions: what each store can do', async () => {
  const rows = table('Extension')
  const all = createTusHandler({ path: '/files', store: memoryStore(), expiration: { afterMs: 1000 } }).extensions
  assert.deepEqual([...rows.keys()].toSorted(), [...all, downloads].toSorted())
  for (const [column, stores] of Object.entries(columns)) {
    for (const make of stores) {
      const store = make()
      const handler = createTusHandler({ path: '/files', store, expiration: { afterMs: 1000 }, downloads: true })
      const can = (name: string) =>
        name === downloads ? store.read !== undefined : handler.extensions.includes(name as never)
      for (const [name, cells] of rows) assert.equal(cells[column], can(name) ? 'yes' : 'no', `${name}, ${column}`)
      const told = await offered((request) => handler(request))
      assert.deepEqual([...told, trailer].toSorted(), [...handler.extensions].toSorted(), 'OPTIONS says the same')
    }
  }
})

test('extensions: what is on in the library by default', async () => {
  const handler = createTusHandler({ path: '/files', store: memoryStore() })
  const { status } = await handler(new Request('http://a.example/files/a'))
  for (const [name, cells] of table('Extension')) {
    const on = name === downloads ? status !== 405 : handler.extensions.includes(name as never)
    assert.match(cells['Library default'] ?? '', on ? /^on\b/ : /^off\b/, name)
  }
})

test('extensions: what is on in the server by default', async () => {
  using folder = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: folder.path })
  const on = await offered((request) => fetch(`${server.origin}/files`, { method: request.method }))
  const answer = await fetch(`${server.origin}/files/a`)
  if (answer.status !== 405) on.add(downloads)
  for (const [name, cells] of table('Extension')) {
    assert.equal(cells['Server default'], on.has(name) ? 'on' : 'off', name)
  }
})

test('checksums: those that the handler takes', async () => {
  const handler = createTusHandler({ path: '/files', store: memoryStore() })
  const { headers } = await handler(new Request('http://a.example/files', { method: 'OPTIONS' }))
  const [, said = ''] = /Checksums: ([^.]+)\./.exec(readme) ?? []
  assert.deepEqual(words(said), headers.get('Tus-Checksum-Algorithm')?.split(',').toSorted())
})

test('stores and lockers: those that the package exports', () => {
  const exported = (folder: string) =>
    Object.keys(manifest.exports ?? {}).flatMap((path) => (path.startsWith(`./${folder}/`) ? [path.slice(2)] : []))
  const stores = [...table('Stores').keys()].map((cell) => cell.replaceAll('`', '').replace('fileloft/', ''))
  assert.deepEqual(stores.toSorted(), exported('stores').toSorted())
  const lockers: Readonly<Record<string, string>> = { memory: 'memory', fs: 'fs', durableObject: 'durable-object' }
  const named = [...table('Lockers').keys()].map((cell) => /^`(\w+)Locker\(/.exec(cell)?.[1] ?? '')
  assert.deepEqual(named.map((name) => `lockers/${lockers[name]}`).toSorted(), exported('lockers').toSorted())
})

test('stores: servers that they are tested on are those that the tests start', () => {
  const titles: string[] = ["Ceph's gateway", ...Object.values(goPrograms).map(({ title }) => title)]
  const known = [...titles, ...['azurite', 'miniflare'].filter((name) => name in versions)].map((name) =>
    name.toLowerCase(),
  )
  const named = [...table('Stores').values()].flatMap((cells) => words(cells['Tested on'] ?? ''))
  const servers = named
    .filter((name) => !['', 'ext4', 'tmpfs'].includes(name))
    .map((name) => name.replace(' (workerd)', ''))
  assert.ok(servers.length >= 5)
  for (const name of servers) assert.ok(known.includes(name.toLowerCase()), name)
})

test('comparison: the versions that are compared with, and links to them, are those that the tests run', () => {
  const head = Object.keys([...table('Compared').values()][0] ?? {}).join(' ')
  const tusd = goPrograms.tusd.version
  assert.match(head, new RegExp(`tusd\\) ${tusd.slice(1, -2).replace('.', '\\.')} `))
  assert.match(head, new RegExp(`server\\) ${version('@tus/server', 2).replace('.', '\\.')}`))
  for (const [, linked] of readme.matchAll(/github\.com\/tus\/tusd\/blob\/([^/]+)\//g)) assert.equal(linked, tusd)
  for (const [, name = '', linked] of readme.matchAll(/unpkg\.com\/(@tus\/[\w-]+)@([\d.]+)\//g)) {
    if (name in versions) assert.equal(linked, version(name, 3), name)
  }
})

test('settings: each variable that the README names is one', () => {
  const known = new Set(Object.values(variables).map(({ name }) => name))
  const named = [...readme.matchAll(/FILELOFT_[A-Z0-9_]+[A-Z0-9]/g)].map(([name]) => name)
  assert.ok(named.length > 4)
  assert.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  )
})

test('Node: the oldest that the package takes', () => {
  const oldest = manifest.engines?.node.replace('>=', '') ?? ''
  const named = [...readme.matchAll(/Node (\d+\.\d+) or newer/g)].map(([, found]) => found)
  assert.ok(named.length > 0)
  for (const each of named) assert.equal(each, oldest)
})

test('runtimes: versions are those that the tests install', () => {
  const rows = table('Runtime')
  const tested = (name: string) => rows.get(name)?.['Tested on'] ?? ''
  assert.deepEqual(
    tested('Node').match(/^[\d, ]+\d/)?.[0],
    ['node-22', 'node', 'node-26'].map((name) => version(name, 1)).join(', '),
  )
  assert.equal(tested('Bun'), version('bun', 2))
  assert.equal(tested('Deno'), version('deno', 2))
})

/** How the README calls the stores. */
const storeNames = { memory: 'memory', fs: 'filesystem', s3: 'S3', gcs: 'Google', azure: 'Azure', r2: 'R2' } as const

test('runtimes: stores are those that the suites run on', () => {
  const rows = table('Runtime')
  const stores = (runtime: string) =>
    plan.filter((run) => run.runtime === runtime).map(({ task }) => storeNames[task.store])
  for (const runtime of ['Bun', 'Deno'])
    assert.deepEqual(words(rows.get(runtime)?.['Stores'] ?? ''), stores(runtime).toSorted())
  const workers = new Set(workerdPlan.map(({ store }) => storeNames[store]))
  assert.deepEqual(words(rows.get('Cloudflare Workers')?.['Stores'] ?? ''), [...workers].toSorted())
  const [, others = ''] = /\(22 and 26: (.*?)\)/.exec(rows.get('Node')?.['Tested on'] ?? '') ?? []
  for (const runtime of ['Node 22', 'Node 26']) assert.deepEqual(words(others), stores(runtime).toSorted())
})

test('frameworks: versions are those that the tests install', () => {
  const names = { Express: 'express', Fastify: 'fastify', Hono: 'hono', 'Next.js': 'next', SvelteKit: '@sveltejs/kit' }
  const rows = table('Framework')
  assert.deepEqual([...rows.keys()], Object.keys(names))
  for (const [title, name] of Object.entries(names))
    assert.equal(rows.get(title)?.['Tested on'], version(name, 1), title)
})

test('runtimes and frameworks: how many cases of the protocol suite each runs', () => {
  assert.match(readme, new RegExp(`The protocol suite, ${countCases()} cases, runs`))
  assert.equal(countCases() - countCases({ isQuick: true }), 3, 'the slow ones')
  const counts = new Map(plan.map(({ task }) => [task.server, countCases(task)]))
  assert.match(readme, new RegExp(`Lambda, which knows no streams, runs ${counts.get('lambda')} of them`))
  for (const [title, cells] of table('Framework')) {
    const server = plan.find(({ task }) => task.server === title.toLowerCase().replace('.', ''))?.task.server
    assert.equal(cells['Cases'], String(counts.get(server ?? assert.fail(title))), title)
  }
})
