/** `fileloft import`: uploads that were begun on another server, taken over from its folder and finished here. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, unlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { FileStore } from '@tus/file-store'
import { Server as TusServer } from '@tus/server'
import { adopt } from '../src/files/foreign/adopt.ts'
import { fileStore } from '../src/stores/fs.ts'
import { temporaryDirectory } from './cli-support.ts'
import { startProgram } from './servers/program.ts'
import { findProgram } from './servers/versions.ts'
import { inherited } from './support/environment.ts'
import { startServer } from './support/server.ts'

const cli = new URL('../src/node/cli.ts', import.meta.url).pathname
const tus = { 'Tus-Resumable': '1.0.0' }
const octets = { 'Content-Type': 'application/offset+octet-stream' }
const env = { FILELOFT_ENABLE_DOWNLOAD: 'true', FILELOFT_ENABLE_CONCATENATION: 'true' }
const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, n) => (n * n) % 251))
const metadata = 'filename bsO2bC50eHQ=,empty'

interface Outcome {
  readonly code: number
  readonly lines: string[]
  readonly problems: string
}

async function runImport(directory: string, ...args: string[]): Promise<Outcome> {
  const environment = { ...inherited, FILELOFT_DATA_DIR: directory, ...env }
  const done = await promisify(execFile)(process.execPath, [cli, 'import', ...args], { env: environment }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
  return { code: done.code, lines: done.stdout.trimEnd().split('\n'), problems: done.stderr }
}

/** Creates an upload and sends its first bytes; resolves to its id. */
async function begin(base: string, count: number, headers: Record<string, string>): Promise<string> {
  const created = await fetch(base, { method: 'POST', headers: { ...tus, 'Upload-Metadata': metadata, ...headers } })
  assert.equal(created.status, 201, await created.text())
  const url = created.headers.get('location') ?? ''
  if (count > 0) await append(url, 0, count)
  return url.slice(url.lastIndexOf('/') + 1)
}

async function append(url: string, from: number, to: number, headers: Record<string, string> = {}): Promise<void> {
  const body = new Uint8Array(bytes.subarray(from, to))
  const sent = { ...tus, ...octets, 'Upload-Offset': String(from), ...headers }
  assert.equal((await fetch(url, { method: 'PATCH', headers: sent, body })).status, 204)
}

async function head(url: string): Promise<Headers> {
  const answer = await fetch(url, { method: 'HEAD', headers: tus })
  assert.equal(answer.status, 200)
  return answer.headers
}

async function assertBytes(url: string, expected: Buffer): Promise<void> {
  const answer = await fetch(url)
  assert.equal(answer.status, 200)
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(expected), 'the bytes are others')
}

const length = { 'Upload-Length': String(bytes.length) }

test('uploads of tusd: unfinished ones go on where they were, complete and concatenated ones are had', async (t) => {
  const program = findProgram('tusd')
  if (program === null) return t.skip('tusd is not installed')
  using folder = temporaryDirectory()
  const theirs = await startProgram({
    name: 'tusd',
    command: program,
    args: ({ port }) => ['-host', '127.0.0.1', '-port', String(port), '-upload-dir', folder.path],
    ready: { path: '/metrics' },
  })
  const base = `http://127.0.0.1:${theirs.port}/files/`
  const half = await begin(base, 60_000, length)
  const untouched = await begin(base, 0, length)
  const deferred = await begin(base, 10, { 'Upload-Defer-Length': '1' })
  const complete = await begin(base, bytes.length, length)
  const partial = { 'Upload-Concat': 'partial', 'Upload-Length': '50000' }
  const partials = [await begin(base, 50_000, partial), await begin(base, 50_000, partial)]
  const final = await begin(base, 0, { 'Upload-Concat': `final;${partials.map((id) => base + id).join(' ')}` })
  await theirs.stop()

  const before = await readFile(join(folder.path, `${half}.info`), 'utf8')
  const planned = await runImport(folder.path, '--dry-run')
  assert.equal(planned.code, 0, planned.problems)
  assert.equal(planned.lines.at(-1), 'would import 7 of tusd')
  assert.equal(await readFile(join(folder.path, `${half}.info`), 'utf8'), before)

  const outcome = await runImport(folder.path)
  assert.deepEqual([outcome.code, outcome.problems], [0, ''])
  assert.equal(outcome.lines.at(-1), 'imported 7 of tusd')
  assert.ok(outcome.lines.includes(`${half}: tusd, 60000 of 100000 bytes`), outcome.lines.join('\n'))
  assert.ok(outcome.lines.includes(`${deferred}: tusd, 10 of an unknown number of bytes`))
  assert.ok(outcome.lines.includes(`${complete}: tusd, complete`))
  assert.equal(await readFile(join(folder.path, '.imported', `${half}.info`), 'utf8'), before)
  assert.equal((await runImport(folder.path)).lines.at(-1), 'imported nothing')

  await using ours = await startServer({ dataDir: folder.path, env })
  const at = (id: string) => `${ours.url}/${id}`
  const told = await head(at(half))
  assert.equal(told.get('upload-offset'), '60000')
  assert.deepEqual(told.get('upload-metadata')?.split(',').sort(), ['empty', 'filename bsO2bC50eHQ='])
  await append(at(half), 60_000, bytes.length)
  await assertBytes(at(half), bytes)
  await append(at(untouched), 0, bytes.length)
  await assertBytes(at(untouched), bytes)
  assert.equal((await head(at(deferred))).get('upload-defer-length'), '1')
  await append(at(deferred), 10, 1000, { 'Upload-Length': '1000' })
  await assertBytes(at(deferred), bytes.subarray(0, 1000))
  await assertBytes(at(complete), bytes)
  assert.equal((await head(at(partials[0] ?? ''))).get('upload-concat'), 'partial')
  const joined = await head(at(final))
  assert.equal(joined.get('upload-concat'), `final;${partials.map((id) => `/files/${id}`).join(' ')}`)
  await assertBytes(at(final), Buffer.concat([bytes.subarray(0, 50_000), bytes.subarray(0, 50_000)]))
  assert.equal((await fetch(at(final), { method: 'DELETE', headers: tus })).status, 204)
})

test('uploads of @tus/server’s file store, in a folder too: go on where they were, with the age they have', async () => {
  using folder = temporaryDirectory()
  let count = 0
  const theirs = new TusServer({
    path: '/files',
    datastore: new FileStore({ directory: folder.path }),
    namingFunction: () => (++count === 1 ? 'a/half' : `upload-${count}`),
    generateUrl: (_, { proto, host, path, id }) => `${proto}://${host}${path}/${encodeURIComponent(id)}`,
    getFileIdFromRequest: (_, last) => decodeURIComponent(last ?? ''),
  })
  const listening = createServer((request, response) => void theirs.handle(request, response)).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const base = `http://127.0.0.1:${(listening.address() as AddressInfo).port}/files`
  await begin(base, 60_000, length)
  const complete = await begin(base, bytes.length, length)
  const deferred = await begin(base, 0, { 'Upload-Defer-Length': '1' })
  listening.close()
  const { creation_date: date } = JSON.parse(await readFile(join(folder.path, 'a/half.json'), 'utf8')) as {
    creation_date: string
  }
  // What else lies there is nobody's upload.
  await writeFile(join(folder.path, 'package.json'), '{"name":"x"}')

  const outcome = await runImport(folder.path)
  assert.deepEqual([outcome.code, outcome.problems], [0, ''])
  assert.equal(outcome.lines.at(-1), 'imported 3 of @tus/server')
  assert.ok(!existsSync(join(folder.path, 'a/half.json')) && existsSync(join(folder.path, 'package.json')))
  const record = JSON.parse(await readFile(join(folder.path, 'a/half.info'), 'utf8')) as { createdAt: number }
  assert.equal(record.createdAt, Date.parse(date))

  await using ours = await startServer({ dataDir: folder.path, env })
  assert.equal((await head(`${ours.url}/a/half`)).get('upload-offset'), '60000')
  await append(`${ours.url}/a/half`, 60_000, bytes.length)
  await assertBytes(`${ours.url}/a/half`, bytes)
  await assertBytes(`${ours.url}/${complete}`, bytes)
  await append(`${ours.url}/${deferred}`, 0, 5, { 'Upload-Length': '5' })
})

/** As serde writes `UploadInfo`. */
function rustRecord(id: string, fields: object): string {
  const rest = { is_partial: false, is_final: false, partial_uploads: [], storage: {}, expires_at: null }
  return JSON.stringify({
    id,
    metadata: { filename: 'nöl.txt', empty: null },
    size_is_deferred: false,
    ...rest,
    ...fields,
  })
}

test('uploads of fileloft for Rust: its parts become one file, up to what it had counted', async () => {
  using folder = temporaryDirectory()
  const put = (name: string, content: string | Uint8Array) => writeFile(join(folder.path, name), content)
  const size = bytes.length
  await put('half.info', rustRecord('half', { size, offset: 50_000, expires_at: '2999-01-01T00:00:00Z' }))
  // More than ten, so that their order is one of numbers; the last one was stored, and never counted.
  for (let n = 0; n < 12; n++) await put(`half_part_${n}`, bytes.subarray(n * 5000, (n + 1) * 5000))
  await put('full.info', rustRecord('full', { size, offset: size }))
  await put('full', bytes)
  await put('ending.info', rustRecord('ending', { size: 10, offset: 10 }))
  await put('ending_part_0', bytes.subarray(0, 10))
  await put('new.info', rustRecord('new', { size: 7, offset: 0 }))
  // Its `concatenate` is followed by a `finalize` that empties the file.
  await put('final.info', rustRecord('final', { size: 20, offset: 20, is_final: true, partial_uploads: ['a', 'b'] }))
  await put('final', '')

  const outcome = await runImport(folder.path)
  assert.equal(outcome.code, 1)
  assert.match(outcome.problems, /^fileloft: final: .*has 0 bytes, less than the 20 that were recorded\n$/)
  assert.equal(outcome.lines.at(-1), 'imported 4 of fileloft for Rust; 1 stay as they were')
  assert.deepEqual(
    (await readdir(folder.path)).filter((name) => name.includes('_part_')),
    [],
  )
  const { expiresAt } = JSON.parse(await readFile(join(folder.path, 'half.info'), 'utf8')) as { expiresAt: number }
  assert.equal(expiresAt, Date.parse('2999-01-01T00:00:00Z'))

  await using ours = await startServer({ dataDir: folder.path, env })
  assert.equal((await head(`${ours.url}/half`)).get('upload-offset'), '50000')
  await append(`${ours.url}/half`, 50_000, size)
  await assertBytes(`${ours.url}/half`, bytes)
  await assertBytes(`${ours.url}/full`, bytes)
  // All its bytes were there, but nobody had been told: the first HEAD completes it.
  assert.equal((await head(`${ours.url}/ending`)).get('upload-offset'), '10')
  await assertBytes(`${ours.url}/ending`, bytes.subarray(0, 10))
  await append(`${ours.url}/new`, 0, 7)
})

test('what cannot be taken over is named with its reason and stays as it was; ours and other files are passed over', async () => {
  using folder = temporaryDirectory()
  const tusd = (id: string, fields: object = {}) =>
    JSON.stringify({
      ID: id,
      Size: 5,
      SizeIsDeferred: false,
      Offset: 0,
      MetaData: {},
      IsPartial: false,
      IsFinal: false,
      PartialUploads: null,
      Storage: { Type: 'filestore', Path: join(folder.path, id) },
      ...fields,
    })
  const put = (name: string, content: string) => writeFile(join(folder.path, name), content)
  await put('gone.info', tusd('gone'))
  await put('long.info', tusd('long'))
  await put('long', 'more than five')
  await put('moved.info', tusd('moved', { Storage: { Type: 'filestore', Path: '/elsewhere/moved.bin' } }))
  await put('other.info', tusd('another'))
  await put('other', 'hello')
  await put('negative.info', tusd('negative', { Size: -1 }))
  await put('negative', '')
  await put('torn.info', '{"ID":"to')
  await put('notes.txt', 'hello')
  await mkdir(join(folder.path, 'folder'))
  await put('folder/half.info', tusd('folder/half'))
  await put('folder/half', 'he')
  const before = await stat(join(folder.path, 'long.info'))

  const { code, lines, problems } = await runImport(folder.path)
  assert.equal(code, 1)
  assert.deepEqual(lines, ['folder/half: tusd, 2 of 5 bytes', 'imported 1 of tusd; 6 stay as they were'])
  const told = problems.trimEnd().split('\n').sort()
  const expected = [
    /^fileloft: gone: its bytes are missing: there is no .*\/gone$/,
    /^fileloft: long: it has 14 bytes, more than its length of 5$/,
    /^fileloft: moved: its bytes were put into \/elsewhere\/moved\.bin; move them to .*\/moved$/,
    /^fileloft: negative: its Size is -1$/,
    /^fileloft: other: it is of another upload, "another"$/,
    /^fileloft: torn: no server that is known here writes such records$/,
  ]
  assert.equal(told.length, expected.length, problems)
  for (const [index, pattern] of expected.entries()) assert.match(told[index] ?? '', pattern)
  assert.equal((await stat(join(folder.path, 'long.info'))).mtimeMs, before.mtimeMs)
})

test('an upload that is named like a part, or like a record, of another one is its own: neither is touched for the other', async () => {
  using folder = temporaryDirectory()
  const put = (name: string, content: string) => writeFile(join(folder.path, name), content)
  const text = (name: string) => readFile(join(folder.path, name), 'utf8')
  const tusd = (id: string, Size: number) => JSON.stringify({ ID: id, Size, SizeIsDeferred: false, MetaData: null })
  for (const [id, letter] of [
    ['movie', 'A'],
    ['movie_part_1', 'B'],
    ['rust_part_1', 'C'],
  ] as const) {
    await put(id, letter.repeat(10))
    await put(`${id}.info`, tusd(id, 10))
  }
  await put('rust.info', rustRecord('rust', { size: 5, offset: 5 }))
  await put('rust_part_0', 'hello')
  const node = (id: string) => JSON.stringify({ id, size: 9, offset: 0, creation_date: '2026-01-01T00:00:00.000Z' })
  // Of @tus/server, the second one's bytes where the first one's record goes.
  await put('foo', 'plain old')
  await put('foo.json', node('foo'))
  await put('foo.info', 'important')
  await put('foo.info.json', node('foo.info'))
  // What a client has sent.
  await put('sent.json', node('movie'))
  await put('sent.json.info', tusd('sent.json', 83))

  const { code, lines, problems } = await runImport(folder.path)
  assert.equal(code, 1)
  assert.equal(lines.at(-1), 'imported 4 of tusd, 1 of fileloft for Rust; 3 stay as they were', lines.join('\n'))
  assert.match(problems, /foo: .*foo\.info is in the way\n/)
  assert.equal(await text('movie'), 'A'.repeat(10))
  assert.equal(await text('movie_part_1'), 'B'.repeat(10))
  assert.equal(await text('rust_part_1'), 'C'.repeat(10))
  assert.equal(await text('rust'), 'hello')
  assert.equal(await text('foo.info'), 'important')
  assert.equal(await text('sent.json'), node('movie'))
})

test('parts with a gap stay as they are; those that a stopped import has left are removed by the next', async () => {
  using folder = temporaryDirectory()
  const put = (name: string, content: string) => writeFile(join(folder.path, name), content)
  await put('gap.info', rustRecord('gap', { size: 20, offset: 10 }))
  for (const part of ['gap_part_0', 'gap_part_2']) await put(part, 'AAAAA')
  await put('whole.info', rustRecord('whole', { size: 20, offset: 10 }))
  for (const part of ['whole_part_0', 'whole_part_1']) await put(part, 'AAAAA')
  const { code, problems } = await runImport(folder.path)
  assert.equal(code, 1)
  assert.match(problems, /^fileloft: gap: its parts have a gap: there is no .*gap_part_1\n$/)
  await put('whole_part_1', 'AAAAA')
  await runImport(folder.path)
  const parts = (await readdir(folder.path)).filter((name) => name.includes('_part_')).sort()
  assert.deepEqual(parts, ['gap_part_0', 'gap_part_2'])
  assert.equal(await readFile(join(folder.path, 'whole'), 'utf8'), 'AAAAAAAAAA')
})

test('an upload that a running server creates under a part’s name during the import stays whole, and is no part', async () => {
  using folder = temporaryDirectory()
  const put = (name: string, content: string) => writeFile(join(folder.path, name), content)
  for (const id of ['one', 'two']) {
    await put(`${id}.info`, rustRecord(id, { size: 20, offset: 5 }))
    await put(`${id}_part_0`, 'hello')
    // Its bytes come first, its record in the moment after.
    await put(`${id}_part_1`, '')
  }
  const store = fileStore({ directory: folder.path })
  let last = ''
  const lock = async <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const name = `${id}_part_1`
    // The second one's turn: the folder was read for the first.
    if (last !== '') {
      await unlink(join(folder.path, name))
      const times = { createdAt: Date.now(), expiresAt: null }
      const made = await store.create({ id: name, length: 9, metadata: null, concat: null, attributes: {}, ...times })
      await store.append(made, Readable.from([Buffer.from('important')]))
    }
    last = id
    return work()
  }
  const options = { basePath: '/files/', expireAfterMs: null, dryRun: false, lock }
  const found = await Array.fromAsync(adopt(folder.path, options))
  assert.deepEqual(
    found.map(({ problem, offset }) => [problem, offset]),
    [
      [null, 5],
      [null, 5],
    ],
  )
  assert.equal(await readFile(join(folder.path, `${last}_part_1`), 'utf8'), 'important')
  const left = (await readdir(folder.path)).filter((name) => name.includes('_part_')).sort()
  assert.deepEqual(left, [`${last}_part_1`, `${last}_part_1.info`])
})

test('two imports at a time beside a running server: each upload is taken over once, and nothing goes back', async () => {
  using folder = temporaryDirectory()
  await using ours = await startServer({ dataDir: folder.path, env })
  const ids = Array.from({ length: 40 }, (_, n) => `upload-${n}`)
  for (const id of ids) {
    await writeFile(join(folder.path, `${id}.info`), rustRecord(id, { size: 15, offset: 10 }))
    for (const n of [0, 1]) await writeFile(join(folder.path, `${id}_part_${n}`), '01234')
  }
  /** Goes on with each as soon as it is there. */
  const goOn = async (id: string): Promise<void> => {
    for (;;) {
      const sent = { ...tus, ...octets, 'Upload-Offset': '10' }
      const answer = await fetch(`${ours.url}/${id}`, { method: 'PATCH', headers: sent, body: '56789' })
      if (answer.status === 204) return
      assert.ok(answer.status >= 500 || answer.status === 423, `${answer.status}`)
    }
  }
  const outcomes = await Promise.all([runImport(folder.path), runImport(folder.path), ...ids.map(goOn)])
  const [one, two] = outcomes as [Outcome, Outcome]
  const counts = [one, two].map(({ lines }) => Number(/^imported (\d+)/.exec(lines.at(-1) ?? '')?.[1] ?? 0))
  assert.equal(counts[0]! + counts[1]!, 40, one.problems + two.problems)
  for (const id of ids) await assertBytes(`${ours.url}/${id}`, Buffer.from('012340123456789'))
})

test('import from a bucket, --dry-run elsewhere: exit code 2 and what to change', async () => {
  using folder = temporaryDirectory()
  const bucket = await runImport(folder.path, '--backend', 's3', '--s3-bucket', 'b')
  assert.equal(bucket.code, 2)
  assert.match(bucket.problems, /import is for uploads on a disk|FILELOFT_DATA_DIR/)
  const environment = { ...inherited }
  const sweep = promisify(execFile)(process.execPath, [cli, 'sweep', '--dry-run'], { env: environment })
  await assert.rejects(sweep, { code: 2, stderr: /--dry-run is for `fileloft import`/ })
})
