/** A receiver as people have written them for tusd, on Python's own HTTP server: it keeps to what that protocol allows. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { temporaryDirectory } from '../cli-support.ts'
import { missing } from '../servers/versions.ts'
import { startServer } from '../support/server.ts'
import { idOf, metadata, octets, post } from './client.ts'

const receiver = `
import http.server, json, sys

class Hooks(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        hook = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        upload = hook['Event']['Upload']
        answer = {'HTTPResponse': {'Headers': {}}}
        if hook['Type'] == 'pre-create':
            if 'filename' in upload['MetaData']:
                answer['ChangeFileInfo'] = {'ID': 'py-' + upload['MetaData']['filename'], 'MetaData': {'by': 'python'}}
            else:
                answer['RejectUpload'] = True
                answer['HTTPResponse']['StatusCode'] = 400
                answer['HTTPResponse']['Body'] = 'a filename is needed'
        if hook['Type'] == 'post-finish':
            print(json.dumps(upload), flush=True)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer(('127.0.0.1', 0), Hooks)
print(server.server_address[1], flush=True)
server.serve_forever()
`

test('a receiver of tusd in Python works as it is: rejects, names, hears of the end', async (t) => {
  if (spawnSync('python3', ['--version']).status !== 0) {
    missing('python3', 'apt-get install python3')
    return t.skip('python3 is not installed')
  }
  using directory = temporaryDirectory()
  const file = join(directory.path, 'receiver.py')
  writeFileSync(file, receiver)
  const child = spawn('python3', [file], { stdio: ['ignore', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })
  try {
    const [port] = (await once(lines, 'line')) as [string]
    await using server = await startServer({ env: { FILELOFT_HOOKS_URL: `http://127.0.0.1:${port}` } })
    const refused = await post(server.url, { 'Upload-Length': '5' })
    assert.deepEqual([refused.status, await refused.text()], [400, 'a filename is needed'])
    const said = once(lines, 'line')
    const meta = { 'Upload-Metadata': metadata({ filename: 'a.txt' }) }
    const taken = await post(server.url, { 'Upload-Length': '5', ...octets, ...meta }, 'hello')
    assert.deepEqual([taken.status, idOf(taken.headers.get('location') ?? '')], [201, 'py-a.txt'])
    const [line] = (await said) as [string]
    const { ID, Size, Offset, MetaData, Storage } = JSON.parse(line) as Record<string, unknown>
    const path = join(server.dataDir, 'py-a.txt')
    assert.deepEqual([ID, Size, Offset, MetaData], ['py-a.txt', 5, 5, { by: 'python' }])
    assert.deepEqual(Storage, { Type: 'filestore', Path: path, InfoPath: `${path}.info` })
  } finally {
    child.kill()
  }
})
