import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeCertificate, runCli, startCli, temporaryDirectory } from './cli-support.ts'
import { listen, stop } from './node-support.ts'

test('fileloft health finds the server that runs with the same settings: by TCP, TLS and Unix socket', async () => {
  using directory = temporaryDirectory()
  const { cert, key } = makeCertificate(directory.path, 'localhost')
  const socket = join(directory.path, 'socket')
  for (const settings of [{}, { FILELOFT_TLS_CERT: cert, FILELOFT_TLS_KEY: key }, { FILELOFT_UNIX_SOCKET: socket }]) {
    const data = { FILELOFT_DATA_DIR: directory.path, ...settings }
    const isSocket = 'FILELOFT_UNIX_SOCKET' in settings
    await using server = await startCli({ ...data, ...(isSocket ? { FILELOFT_BIND: '' } : {}) })
    // As an image has it: an address that stands for all of them.
    const bind: Record<string, string> = isSocket ? {} : { FILELOFT_BIND: `0.0.0.0:${server.port}` }
    const { code, stdout, stderr } = await runCli(['health'], { ...data, ...bind })
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^The server at \S+ is healthy\n$/)
  }
})

test('fileloft health fails in one line where nobody listens, another answers, or the port is not known', async () => {
  const other = createServer((_, response) => void response.writeHead(404).end())
  const port = await listen(other)
  for (const [bind, expected] of [
    ['127.0.0.1:1', /^fileloft: Nothing healthy at 127\.0\.0\.1:1: .+\n$/],
    [`127.0.0.1:${port}`, /^fileloft: The server at \S+ answers 404\n$/],
    ['127.0.0.1:0', /^fileloft: a port that the server chose itself is not known\n$/],
  ] as const) {
    const { code, stdout, stderr } = await runCli(['health'], { FILELOFT_BIND: bind })
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, expected)
  }
  await stop(other)
})

test('/healthz answers while the process lives, /readyz only while the store can be used', async () => {
  using directory = temporaryDirectory()
  const data = join(directory.path, 'data')
  await using server = await startCli({ FILELOFT_DATA_DIR: data, FILELOFT_LOG: 'info' })
  assert.equal((await fetch(`${server.origin}/readyz`)).status, 200)
  execFileSync('mv', [data, `${data}.away`])
  writeFileSync(data, 'a file where the directory was')
  assert.equal((await fetch(`${server.origin}/readyz`)).status, 503)
  assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
  assert.equal((await fetch(`${server.origin}/other`, { method: 'POST', body: 'x' })).status, 404)
  await server.line(({ path }) => path === '/other')
  assert.ok(!server.output().includes('healthz'), 'probes are logged at debug only')
})
