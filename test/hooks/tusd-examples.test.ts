/** The receivers that tusd's source brings as examples, which nobody has written for this server. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { findExamples, missing } from '../servers/versions.ts'
import { startServer } from '../support/server.ts'
import { all, create, head, idOf, metadata, patch, post, remove, trickle } from './client.ts'

/** Runs a Python program as it is, except that its server takes a free port in place of its own, and says which. */
const onFreePort = `
import http.server, runpy, sys

class FreePort(http.server.HTTPServer):
    def __init__(self, address, handler):
        super().__init__((address[0], 0), handler)
        print('port', self.server_address[1])

http.server.HTTPServer = FreePort
runpy.run_path(sys.argv[1])
`

/** Whether the program is there. @throws Error in CI when it is not */
function has(program: string): boolean {
  if (spawnSync(program, ['--version']).status === 0) return true
  missing(program, `apt-get install ${program}`)
  return false
}

test("tusd's examples/hooks/http runs as it is: rejects without a file name, names, hears of the end", async (t) => {
  const examples = findExamples('tusd')
  if (examples === null || !has('python3')) return t.skip('tusd or python3 is not installed')
  const receiver = spawn('python3', ['-u', '-c', onFreePort, join(examples, 'http/server.py')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const lines: string[] = []
  const output = new EventEmitter()
  createInterface({ input: receiver.stdout }).on('line', (line) => {
    lines.push(line)
    output.emit('line')
  })
  const said = async (what: RegExp): Promise<string> => {
    const signal = AbortSignal.timeout(10_000)
    for (;;) {
      const index = lines.findIndex((line) => what.test(line))
      if (index >= 0) return lines.splice(0, index + 1).at(-1)!
      await once(output, 'line', { signal }).catch(() => assert.fail(`no ${what}:\n${lines.join('\n')}`))
    }
  }
  try {
    const [, port] = (await said(/^port \d+$/)).split(' ')
    await using server = await startServer({
      env: { FILELOFT_HOOKS_URL: `http://localhost:${port}`, FILELOFT_HOOKS_EVENTS: all },
    })
    const refused = await post(server.url, { 'Upload-Length': '5' })
    assert.deepEqual([refused.status, await refused.text()], [400, 'no filename provided'])

    const meta = { 'Upload-Metadata': metadata({ filename: 'a.txt', other: 'left out' }) }
    const location = await create(server.url, 5, meta)
    assert.match(idOf(location), /^prefix-[0-9a-f-]{36}$/)
    const names = (await head(location)).headers.get('upload-metadata')?.split(',')
    assert.deepEqual([names?.[0], names?.[1]?.split(' ')[0]], [metadata({ filename: 'a.txt' }), 'creation_time'])
    assert.equal((await patch(location, 0, 'hello')).status, 204)
    await said(new RegExp(`^Upload ${idOf(location)} \\(5 bytes\\) is finished\\. Find the file at:$`))
    assert.ok((await said(/'Path'/)).includes(`'Path': '${join(server.dataDir, idOf(location))}'`))
    assert.equal((await remove(location)).status, 204)
    await said(/'Type': 'post-terminate'/)
  } finally {
    receiver.kill()
  }
})

test("tusd's examples/hooks/file runs as it is: each program hears of its event, by its environment and its stdin", async (t) => {
  const examples = findExamples('tusd')
  if (examples === null || !has('jq')) return t.skip('tusd or jq is not installed')
  await using server = await startServer({
    env: { FILELOFT_HOOKS_DIR: join(examples, 'file'), FILELOFT_HOOKS_EVENTS: all },
  })
  const location = await create(server.url, 1000, { 'Upload-Metadata': metadata({ filename: 'a.txt' }) })
  const id = idOf(location)
  await server.wrote(`Upload created with ID ${id} and size 1000`)
  // A line of the JSON that it has found on its stdin.
  await server.wrote('  "Type": "post-create",')
  using sending = trickle(location, 1000)
  await server.wrote(new RegExp(`^Upload ${id} is at \\d+% \\(\\d+/1000\\)$`))
  sending.finish()
  assert.equal((await sending.answer).status, 204)
  await server.wrote('  "Type": "pre-finish",')
  await server.wrote(`Upload ${id} (1000 bytes) finished`)
  await server.wrote('  "Type": "post-finish",')
  assert.equal((await remove(location)).status, 204)
  await server.wrote(`Upload ${id} terminated`)
  await server.wrote('  "Type": "post-terminate",')
  const failures = server.records().filter(({ level }) => Number(level) >= 40)
  assert.deepEqual(failures, [])
})
