/** The example of a receiver, with the server that it is for. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../servers/program.ts'
import { startServer } from '../support/server.ts'
import { idOf, metadata, post, upload } from './client.ts'

const file = resolve(import.meta.dirname, '../../examples/webhook-receiver.ts')

test('examples/webhook-receiver.ts wants a file name, hears of the end once, and takes nothing that is not signed', async () => {
  const secret = `whsec_${Buffer.from('s'.repeat(32)).toString('base64')}`
  const port = await freePort()
  const child = spawn(process.execPath, [file], {
    env: { PATH: process.env['PATH'], PORT: String(port), HOOKS_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  const output = createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  try {
    await once(output, 'line')
    const url = `http://127.0.0.1:${port}/hooks`
    assert.equal((await fetch(url, { method: 'POST', body: '{}' })).status, 401)
    await using server = await startServer({ env: { FILELOFT_HOOKS_URL: url, FILELOFT_HOOKS_SECRET: secret } })
    const refused = await post(server.url, { 'Upload-Length': '5' })
    assert.deepEqual([refused.status, await refused.text()], [422, 'Send a filename\n'])
    const location = await upload(server.url, 'hello', { 'Upload-Metadata': metadata({ filename: 'a.txt' }) })
    const said = `${idOf(location)} is complete: a.txt, 5 bytes`
    while (!lines.includes(said)) await once(output, 'line', { signal: AbortSignal.timeout(10_000) })
  } finally {
    child.kill()
  }
})

test('examples/hooks/post-finish is run for an upload that is done', async () => {
  const directory = resolve(import.meta.dirname, '../../examples/hooks')
  await using server = await startServer({ env: { FILELOFT_HOOKS_DIR: directory } })
  const location = await upload(server.url, 'hello')
  await server.wrote(`${idOf(location)} is complete: 5 bytes`)
})
