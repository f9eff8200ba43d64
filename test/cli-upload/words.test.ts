/** `fileloft upload`: what it says, on a terminal and where it fails. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { MiB } from '../clients/support.ts'
import { listen } from '../node-support.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { cli, concatenation, layTable, type Table } from './support.ts'

let table: Table
let server: TestServer
const resources = new AsyncDisposableStack()
before(async () => {
  table = resources.use(await layTable())
  server = resources.use(await startServer({ env: concatenation }))
})
after(() => resources.disposeAsync())

describe('a server that does not take it: said in words, exit code 1', () => {
  const answering = (status: number, headers: Record<string, string> = {}, text = '') =>
    createServer((_, response) => response.writeHead(status, headers).end(text))
  for (const [title, listener, expected] of [
    ['a web page', answering(200, {}, '<html>'), /there is no tus server at http:\/\/127\.0\.0\.1:\d+\/files: /],
    ['nothing there', answering(404, {}, 'Not found'), /the server knows no uploads there \(404: Not found\)/],
    [
      'a redirect',
      answering(308, { Location: 'https://b.example/' }),
      /answers 308: use https:\/\/b\.example\/ instead/,
    ],
    ['a credential is wanted', answering(401), /wants to know who you are: --header .* \(401\)/],
  ] as const) {
    test(title, async () => {
      await using server = listener
      const port = await listen(server)
      const { code, stderr, urls } = await table.run(table.small.path, '--to', `http://127.0.0.1:${port}/files`)
      assert.deepEqual([code, urls], [1, []])
      assert.match(stderr, expected)
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    })
  }

  test('nobody listens, no such host', async () => {
    const closed = createServer()
    const port = await listen(closed)
    await closed[Symbol.asyncDispose]()
    const refused = await table.run(table.small.path, '--to', `http://127.0.0.1:${port}/`)
    assert.deepEqual(
      [refused.code, refused.stderr],
      [1, `fileloft: 127.0.0.1:${port} cannot be reached: nobody listens there\n`],
    )
    const unknown = await table.run(table.small.path, '--to', 'http://nowhere.invalid/')
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /^fileloft: nowhere\.invalid cannot be reached: /)
  })

  test('too large, a missing extension, an unknown token', async () => {
    await using limited = await startServer({
      env: { FILELOFT_MAX_SIZE: '1KiB', FILELOFT_DISABLE_CHECKSUM: '1', FILELOFT_AUTH_TOKENS: 'a-token-of-16-letters' },
    })
    const token = ['--header', 'Authorization: Bearer a-token-of-16-letters']
    const to = ['--to', limited.url]
    await writeFile(join(table.folder, 'tiny'), '1')
    for (const [args, expected] of [
      [[table.small.path, ...to, ...token], /it has 98 KiB; the server takes 1\.0 KiB at most/],
      [[table.small.path, ...to, ...token, '--parallel', '2'], /does not offer concatenation, which --parallel needs/],
      [[table.small.path, ...to, ...token, '--checksum', 'md5'], /does not offer checksum, which --checksum needs/],
      [['tiny', ...to], /the server wants to know who you are/],
    ] as const) {
      const { code, stderr } = await table.run(...args)
      assert.equal(code, 1)
      assert.match(stderr, expected)
    }
    const tooLong = table.start('-', ...to, ...token)
    tooLong.child.stdin.end(Buffer.alloc(2000))
    const { code, stderr } = await tooLong.ended
    assert.equal(code, 1)
    assert.match(stderr, /^standard input: not uploaded: it is larger than the server takes \(413: /)
  })
})

test('wrong use: exit code 2, every problem on a line, no secret quoted', async () => {
  const flags = [
    '--parallel',
    '0',
    '--checksum',
    'crc',
    '--chunk-size',
    'x',
    '--header',
    'Bad Name: hunter2',
    '--metadata',
    'a',
  ]
  const wrong = await table.run('-', '-', '--to', 'ftp://a', ...flags)
  assert.equal(wrong.code, 2)
  const lines = wrong.stderr.trimEnd().split('\n')
  assert.equal(lines.length, 8, wrong.stderr)
  for (const flag of [
    '--to',
    '--parallel',
    '--checksum',
    '--chunk-size',
    '--header',
    '--metadata',
    '- can be given once',
  ]) {
    assert.ok(wrong.stderr.includes(`fileloft: ${flag}`), `${wrong.stderr} lacks ${flag}`)
  }
  assert.ok(!wrong.stderr.includes('hunter2'))
  for (const [args, expected] of [
    [[], /--to URL is needed\n.*a FILE is needed/],
    [['-', '--to', 'http://a/', '--parallel', '2'], /--parallel cannot be used with -/],
    [['a', '--to', 'http://a/', '--chunk-size', '16'], /--chunk-size is "16"; .* 1KiB at least/],
    [['a', 'b', '--to', 'http://a/', '--metadata', 'filename=c'], /the same name/],
    [['a', '--to', 'http://a/', '--paralel', '2'], /Unknown option '--paralel': fileloft upload --help/],
  ] as const) {
    const { code, stderr } = await table.run(...args)
    assert.equal(code, 2)
    assert.match(stderr, expected)
  }
})

test('--help: on standard output, exit code 0', async () => {
  const { code, urls } = await table.run('--help')
  assert.equal(code, 0)
  assert.match(urls.join('\n'), /^fileloft upload: [^]*--parallel N[^]*Exit codes: 0 /)
})

test('nobody reads standard output any more: all is uploaded, the URL that is lost there is said, exit code 1', async () => {
  const { child, ended } = table.start(table.small.path, table.small.path, '--to', server.url)
  child.stdout.destroy()
  const { code, stderr } = await ended
  assert.equal(code, 1)
  assert.equal(stderr.match(/: uploaded, 98 KiB/g)?.length, 2, stderr)
  assert.equal(stderr.match(/: http:\S+\/files\/\S+ cannot be written to standard output: /g)?.length, 2, stderr)
})

test('nobody reads standard error any more: uploaded', async () => {
  const { child, ended } = table.start(table.small.path, '--to', server.url)
  child.stderr.destroy()
  const { code, urls } = await ended
  assert.deepEqual([code, urls.length], [0, 1])
})

test('a file name with what terminals take for commands: shown without that, sent as it is', async () => {
  const name = 'a\x1b[31mb\n'
  await writeFile(join(table.folder, name), '1')
  const { code, urls, stderr } = await table.run(name, '--to', server.url)
  assert.equal(code, 0)
  assert.match(stderr, /^a\?\[31mb\?: uploaded, 1 B in [^\n]*\n$/)
  const head = await fetch(urls[0] ?? '', { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  assert.equal(head.headers.get('upload-metadata'), `filename ${Buffer.from(name).toString('base64')}`)
})

test('on a terminal: a bar with share, rate and time left', async () => {
  await using proxy = await startBreakingProxy(server.port, [{ kind: 'stall', at: 8 * MiB }])
  // `script` is in every Debian; it gives the command a terminal.
  const command = `"${process.execPath}" "${cli}" upload big.bin --to ${proxy.origin}/files/`
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    cwd: table.folder,
    env: { ...table.environment, SHELL: '/bin/sh', TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let screen = ''
  const seen = Promise.withResolvers<void>()
  child.stdout.on('data', (chunk: Buffer) => {
    screen += chunk.toString()
    if (/big\.bin [█░]{20,} \d+ %  32 MiB  \S+ [KM]iB\/s  \d+:\d\d left/.test(screen)) seen.resolve()
  })
  await seen.promise
  // As the keyboard sends it.
  child.stdin.write('\x03')
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 130)
  assert.match(screen, /big\.bin: interrupted; the same command goes on/)
  assert.ok(screen.lastIndexOf('\x1b[?25h') > screen.lastIndexOf('\x1b[?25l'), 'the cursor is shown again')
})
