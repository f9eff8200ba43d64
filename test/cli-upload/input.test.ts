/** `fileloft upload`: standard input, and what goes over the wire. */
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { TusError } from '../../src/index.ts'
import { assertStored, makeFile, MiB } from '../clients/support.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { concatenation, layTable, type Table, watchedServer } from './support.ts'

let table: Table
let server: TestServer
const resources = new AsyncDisposableStack()
before(async () => {
  table = resources.use(await layTable())
  server = resources.use(await startServer({ env: concatenation }))
})
after(() => resources.disposeAsync())

describe('standard input', () => {
  for (const size of [0, 5, 2 * MiB, 2 * MiB + 1]) {
    test(`${size} bytes of unknown length in chunks of 1 MiB: identical`, async () => {
      const source = await makeFile(join(table.folder, 'input.bin'), size)
      const upload = table.start('-', '--to', server.url, '--chunk-size', '1MiB', '--checksum', 'crc32')
      upload.child.stdin.end(await readFile(source.path))
      const { code, urls, stderr } = await upload.ended
      assert.equal(code, 0, stderr)
      await assertStored(server, urls[0] ?? null, source)
    })
  }

  test('it ends where a chunk ends: the length comes with that chunk, no empty request after it', async () => {
    await using watched = await watchedServer()
    const upload = table.start('-', '--to', watched.url, '--chunk-size', '1MiB')
    upload.child.stdin.end(Buffer.alloc(2 * MiB))
    const { code, stderr } = await upload.ended
    assert.equal(code, 0, stderr)
    const patches = watched.asked.filter(({ method }) => method === 'PATCH')
    assert.deepEqual(
      patches.map(({ headers }) => headers.get('upload-length')),
      [null, String(2 * MiB)],
    )
  })

  test('the connection breaks: what was not stored is sent again', async () => {
    await using proxy = await startBreakingProxy(server.port, [
      { kind: 'reset', at: 3.5 * MiB },
      { kind: 'cut', at: 9 * MiB },
    ])
    const upload = table.start('-', '--to', `${proxy.origin}/files/`, '--chunk-size', '2MiB')
    createReadStream(table.big.path).pipe(upload.child.stdin)
    const { code, urls, stderr } = await upload.ended
    assert.equal(code, 0, stderr)
    assert.equal(proxy.happened.length, 2)
    await assertStored(server, urls[0] ?? null, table.big)
  })

  test('interrupted: 130, although whoever writes goes on', async () => {
    await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: MiB }])
    const upload = table.start('-', '--to', `${proxy.origin}/files/`, '--chunk-size', '2MiB')
    upload.child.stdin.on('error', () => {})
    upload.child.stdin.write(Buffer.alloc(5 * MiB))
    await proxy.reached(1)
    upload.child.kill('SIGINT')
    const { code, stderr } = await upload.ended
    assert.deepEqual([code, stderr], [130, 'standard input: interrupted\n'])
  })
})

test('--checksum with --parallel: every PATCH has one, no request is larger than --chunk-size', async () => {
  await using watched = await watchedServer()
  const flags = ['--checksum', 'sha1', '--parallel', '2', '--chunk-size', '5MiB']
  const { code, stderr } = await table.run('big.bin', '--to', watched.url, ...flags)
  assert.equal(code, 0, stderr)
  const patches = watched.asked.filter(({ method }) => method === 'PATCH')
  assert.equal(patches.length, 8)
  for (const { headers } of patches) {
    assert.match(headers.get('upload-checksum') ?? '', /^sha1 [\w+/]{27}=$/)
    assert.ok(Number(headers.get('content-length')) <= 5 * MiB)
  }
  const posts = watched.asked.filter(({ method }) => method === 'POST')
  const kinds = posts.map(({ headers }) => headers.get('upload-concat')?.split(';')[0])
  assert.deepEqual(kinds, ['partial', 'partial', 'final'])
})

test('--header, also from a file: on every request; --metadata on the upload', async () => {
  await using watched = await watchedServer()
  await writeFile(join(table.folder, 'headers'), 'Authorization: Bearer of-a-file\n\nX-Other: 2\n')
  const flags = [
    '--header',
    '@headers',
    '--header',
    'X-One:1',
    '--metadata',
    'filename=other.txt',
    '--metadata',
    'a=b=c',
  ]
  const { code, stderr } = await table.run(table.small.path, '--to', watched.url, ...flags)
  assert.equal(code, 0, stderr)
  assert.deepEqual(
    watched.asked.map(({ method }) => method),
    ['OPTIONS', 'POST', 'PATCH'],
  )
  for (const { headers } of watched.asked) {
    assert.deepEqual(
      ['authorization', 'x-other', 'x-one'].map((name) => headers.get(name)),
      ['Bearer of-a-file', '2', '1'],
    )
  }
  const metadata = watched.asked[1]?.headers.get('upload-metadata')
  assert.equal(metadata, `filename ${btoa('other.txt')},a ${btoa('b=c')}`)
})

test('the server fails when it is asked how much it has: asked again, not started over', async () => {
  let failures = 0
  await using watched = await watchedServer(({ method, headers }) => {
    if (method === 'HEAD' && failures++ < 2) throw new TusError('rejected', 'Try later', { status: 503 })
    // The first run gets no further.
    if (method === 'PATCH' && headers.get('upload-offset') === '1048576' && failures === 0) {
      throw new TusError('rejected', 'Not now', { status: 403 })
    }
  })
  const words = ['big.bin', '--to', watched.url, '--chunk-size', '1MiB']
  const first = await table.run(...words)
  assert.equal(first.code, 1)
  assert.equal(first.stderr, 'big.bin: not uploaded: the server does not allow it (403: Not now)\n')
  const second = await table.run(...words)
  assert.equal(second.code, 0, second.stderr)
  assert.match(second.stderr, /going on at 3 %/)
  assert.equal(watched.asked.filter(({ method }) => method === 'POST').length, 1)
})
