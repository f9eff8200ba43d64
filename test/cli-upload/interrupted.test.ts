/** `fileloft upload`: what arrives, and how it goes on. */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { appendFile, stat } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { assertStored, idOf, makeFile, MiB, sha256, storedIds } from '../clients/support.ts'
import { readUploadArguments } from '../../src/node/client/arguments.ts'
import { createHttpStack } from '../../src/node/client/http-stack.ts'
import { createPlaces } from '../../src/node/client/places.ts'
import { send } from '../../src/node/client/send.ts'
import { openSource } from '../../src/node/client/source.ts'
import { listen } from '../node-support.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { concatenation, layTable, type Table } from './support.ts'

let table: Table
let server: TestServer
const resources = new AsyncDisposableStack()
before(async () => {
  table = resources.use(await layTable())
  server = resources.use(await startServer({ env: concatenation }))
})
after(() => resources.disposeAsync())

test('several files: each identical, named, told by its URL in order; nothing is remembered', async () => {
  const { code, urls, stderr } = await table.run('big.bin', table.small.path, '--to', server.url)
  assert.equal(code, 0, stderr)
  assert.equal(urls.length, 2)
  await assertStored(server, urls[0] ?? null, table.big)
  await assertStored(server, urls[1] ?? null, table.small)
  const head = await fetch(urls[1] ?? '', { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  assert.equal(head.headers.get('upload-metadata'), `filename ${Buffer.from('small file ü.bin').toString('base64')}`)
  assert.match(stderr, /^big\.bin: uploaded, 32 MiB in .* MiB\/s\)\n.*small file ü\.bin: uploaded, 98 KiB in .*\n$/)
  assert.deepEqual(await table.remembered(), [])
})

test('the same file twice: two uploads', async () => {
  const { code, urls, stderr } = await table.run(table.small.path, table.small.path, '--to', server.url)
  assert.equal(code, 0, stderr)
  assert.equal(new Set(urls).size, 2)
  assert.doesNotMatch(stderr, /going on/)
  assert.deepEqual(await table.remembered(), [])
})

test('a file that is not there, a directory: said, the others are uploaded, exit code 1', async () => {
  const { code, urls, stderr } = await table.run('nowhere.bin', '.', table.small.path, '--to', server.url)
  assert.deepEqual([code, urls.length], [1, 1])
  assert.match(stderr, /^nowhere\.bin: not uploaded: there is no such file\n\.: not uploaded: it is a directory\n/)
})

for (const args of [[], ['--parallel', '3'], ['--checksum', 'sha256', '--chunk-size', '1MiB']]) {
  test(`SIGINT in mid-upload, ${args.join(' ') || 'no flags'}: 130, and the next run goes on`, async () => {
    await using server = await startServer({ env: concatenation })
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 14 * MiB }])
    const words = ['big.bin', '--to', `${proxy.origin}/files/`, '--metadata', 'run=1', ...args]
    const first = table.start(...words)
    await proxy.reached(1)
    first.child.kill('SIGINT')
    const { code, urls, stderr } = await first.ended
    assert.deepEqual([code, urls], [130, []], stderr)
    assert.match(stderr, /^big\.bin: interrupted; the same command goes on\n$/)
    const [place = '', ...others] = await table.remembered()
    assert.deepEqual(others, [])
    assert.equal((await stat(place)).mode & 0o777, 0o600)

    const sentBefore = proxy.sent
    const second = await table.run(...words)
    assert.equal(second.code, 0, second.stderr)
    const [, percent] = /^big\.bin: going on at (\d+) %\nbig\.bin: uploaded, 32 MiB/.exec(second.stderr) ?? []
    assert.ok(Number(percent) > 5 && Number(percent) < 95, second.stderr)
    assert.ok(proxy.sent - sentBefore < 32 * MiB * (1 - Number(percent) / 100) + 64 * 1024, 'only the rest was sent')
    await assertStored(server, second.urls[0] ?? null, table.big)
    assert.deepEqual(await storedIds(server), [idOf(second.urls[0] ?? null)])
    assert.deepEqual(await table.remembered(), [])
  })
}

test('SIGINT while the server is asked what it can do: 130 at once, though it never answers', async () => {
  const silent = createServer()
  const port = await listen(silent)
  const asked = once(silent, 'connection') as Promise<[Socket]>
  const { child, ended } = table.start('big.bin', '--to', `http://127.0.0.1:${port}/files/`)
  const [socket] = await asked
  await once(socket, 'data')
  child.kill('SIGINT')
  assert.deepEqual(await ended, { code: 130, urls: [], stderr: '' })
  silent.close()
})

test('a file whose upload is aborted before it begins or while it runs: nobody listens any more, no file is open', async () => {
  await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 4 * MiB }])
  const args = readUploadArguments([table.big.path, '--to', `${proxy.origin}/files/`])
  assert.ok(args !== null)
  const places = createPlaces(join(table.folder, 'places'), assert.ifError)
  const display = { progress: () => {}, note: () => {}, end: () => {} }
  const source = openSource(table.big.path)
  const opened: Readable[] = []
  const watched = { ...source, open: () => opened[opened.push(source.open()) - 1] as Readable }
  const sendUntil = ({ signal }: AbortController) =>
    send(watched, { args, stack: createHttpStack(null), places, display, signal })
  const before = new AbortController()
  before.abort()
  assert.equal(await sendUntil(before), null)
  assert.equal(opened.length, 0)

  const during = new AbortController()
  const sent = sendUntil(during)
  await proxy.reached(1)
  during.abort()
  assert.equal(await sent, null)
  assert.equal(opened.length, 1)
  assert.ok(opened[0]?.destroyed)
  assert.equal(getEventListeners(during.signal, 'abort').length, 0)
})

for (const args of [[], ['--parallel', '2']]) {
  const title = args.join(' ') || 'no flags'
  test(`the state directory cannot be made, ${title}: said once, uploaded all the same`, async () => {
    // Nothing can be below a file.
    const words = ['big.bin', '--to', server.url, ...args]
    const { code, urls, stderr } = await table.runWith({ XDG_STATE_HOME: table.small.path }, words)
    assert.equal(code, 0, stderr)
    const [said = '', uploaded, ...others] = stderr.trimEnd().split('\n')
    assert.match(said, /^big\.bin: where it is cannot be remembered: ENOTDIR: /)
    assert.match(uploaded ?? '', /^big\.bin: uploaded, 32 MiB/)
    assert.deepEqual(others, [])
    await assertStored(server, urls[0] ?? null, table.big)
  })
}

test('a file that was changed since: it starts over', async () => {
  await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 4 * MiB }])
  const changing = await makeFile(join(table.folder, 'changing.bin'), 8 * MiB)
  const words = ['changing.bin', '--to', `${proxy.origin}/files/`]
  const first = table.start(...words)
  await proxy.reached(1)
  first.child.kill('SIGTERM')
  assert.equal((await first.ended).code, 143)
  await appendFile(changing.path, 'more')
  const { code, urls, stderr } = await table.run(...words)
  assert.equal(code, 0)
  assert.doesNotMatch(stderr, /going on/)
  assert.equal(await sha256(join(server.dataDir, idOf(urls[0] ?? null))), await sha256(changing.path))
})

test('the connection breaks, the server is killed and starts again: one identical upload', async () => {
  await using server = await startServer()
  await using proxy = await startBreakingProxy(server.port, [
    { kind: 'reset', at: 6 * MiB },
    { kind: 'stall', at: 20 * MiB },
  ])
  const upload = table.start('big.bin', '--to', `${proxy.origin}/files/`)
  await proxy.reached(2)
  await server.stop('SIGKILL')
  await server.restart()
  const { code, urls, stderr } = await upload.ended
  assert.equal(code, 0, stderr)
  await assertStored(server, urls[0] ?? null, table.big)
  assert.equal((await storedIds(server)).length, 1)
})
