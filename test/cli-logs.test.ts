/** What the command writes. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createUpload, runCli, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { rawClient } from './node-support.ts'

test('secrets in headers and queries never reach the log, at any level', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_LOG: 'trace' })
  const headers = { ...tus, Authorization: 'Bearer hunter2', Cookie: 'session=hunter2', 'Upload-Length': '3' }
  await fetch(`${server.origin}/files?token=hunter2`, { method: 'POST', headers })
  await fetch(`${server.origin}/files/nope?token=hunter2`, { method: 'HEAD', headers })
  using client = await rawClient(server.port)
  client.socket.write(
    'GET http://me:hunter2@a.example/elsewhere?hunter2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  )
  await client.closed
  await server.line(({ path }) => path === '/elsewhere')
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(!server.output().includes('hunter2'), server.output())
})

test('a failure of the store is answered 5xx, and logged with its stack at level error', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  const location = await createUpload(server.origin, 5)
  const id = location.slice(location.lastIndexOf('/') + 1)
  writeFileSync(join(directory.path, `${id}.info`), '{broken')
  const answer = await fetch(location, { method: 'HEAD', headers: tus })
  assert.equal(answer.status, 500)
  const failure = await server.line(({ msg }) => msg === 'failure')
  assert.equal(failure.level, 'error')
  assert.match(JSON.stringify(failure['err']), /"stack":".*StoreError/)
  assert.equal((await server.line(({ status }) => status === 500)).level, 'error')
})

test('the log level and its format are as configured', async () => {
  using directory = temporaryDirectory()
  await using quiet = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_LOG: 'info,fileloft::http=off' })
  await fetch(`${quiet.origin}/files`, { method: 'OPTIONS' })
  quiet.process.kill('SIGTERM')
  await quiet.exit
  assert.ok(!quiet.output().includes('OPTIONS'))

  const text = await runCli(['sweep', '--data-dir', directory.path], { FILELOFT_LOG_FORMAT: 'text' })
  assert.deepEqual(text, { code: 0, stdout: 'removed 0, skipped 0, concatenated 0, leftovers 0\n', stderr: '' })
})

test('a reader of the log that goes away does not take the server with it', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path })
  server.process.stdout?.destroy()
  for (let i = 0; i < 20; i += 1) assert.equal((await fetch(`${server.origin}/healthz?${i}`)).status, 200)
  for (let i = 0; i < 20; i += 1) await fetch(`${server.origin}/files`, { method: 'OPTIONS' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
})
