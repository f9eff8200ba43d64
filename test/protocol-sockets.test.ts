/** The protocol suites over real sockets: `fetch` and `node:http` in front, Node's adapter behind. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { createTusHandler } from '../src/index.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { runSuites } from './run-suites.ts'
import { sockets } from './sockets.ts'

const transport = sockets('over sockets')

runSuites(transport)

void describe('what only a raw socket can send', () => {
  const hosts = [
    'Host: evil.test"><script>',
    'Host: evil.test/path?x#y',
    'Host: user@evil.test',
    'Host: a b',
    'Host: a\tb',
    'Host: \u00ff\u00fe',
    'Host: evil.test:99999',
    'Host: evil.test\rX-Injected: 1',
    'Host: evil.test\r\n X-Injected: 1',
    'Host:',
    'Host: []',
    'Host: evil.test,other.test',
    'X-No-Host: 1',
  ]
  for (const host of hosts) {
    void test(`POST with ${JSON.stringify(host)}: one sane Location, or refused`, async (t) => {
      const server = await serve(t)
      const version = host.startsWith('X-') ? '1.0' : '1.1'
      const answer = await server.say(
        `POST /files HTTP/${version}\r\n${host}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n\r\n`,
      )
      const [status = '', ...headers] = answer.split('\r\n\r\n', 1)[0]?.split('\r\n') ?? []
      assert.match(status, /^HTTP\/1\.1 (201|400) /)
      assert.ok(!headers.some((line) => /^X-Injected/i.test(line)), answer)
      const locations = headers.filter((line) => /^location:/i.test(line))
      assert.equal(locations.length, status.includes('201') ? 1 : 0, answer)
      for (const line of locations) {
        const location = line.slice('location:'.length).trim()
        assert.match(location, /^https?:\/\/[^/?#@\s"<>\\]+\/files\/[0-9a-f]{32}$/)
        assert.equal(new URL(location).href, location)
      }
    })
  }

  void test('PATCH with Content-Length that ends early: what arrived is kept', async (t) => {
    const server = await serve(t)
    await server.say(
      `PATCH ${server.path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        'Content-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\nhello',
    )
    const answer = await server.say(
      `HEAD ${server.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\r\n`,
    )
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.match(answer, /\r\nupload-offset: 5\r\n/i)
  })

  void test('PATCH that is refused, with a request hidden in its body: the hidden one is never answered', async (t) => {
    const server = await serve(t)
    const hidden = `DELETE ${server.path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n\r\n`
    const answer = await server.say(
      `PATCH ${server.path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 3\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}` +
        `HEAD ${server.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\r\n`,
    )
    const statuses = [...answer.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map((match) => match[1])
    assert.equal(statuses[0], '409')
    assert.ok(statuses.length === 1 || statuses.join() === '409,200', `statuses ${statuses.join()}`)
  })

  void test('the same header twice: Upload-Offset and Upload-Length are refused, not one of them picked', async (t) => {
    const server = await serve(t)
    for (const [line, name] of [
      [`PATCH ${server.path}`, 'Upload-Offset'],
      ['POST /files', 'Upload-Length'],
    ] as const) {
      const answer = await server.say(
        `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n${name}: 0\r\n${name}: 5\r\n` +
          'Content-Type: application/offset+octet-stream\r\nContent-Length: 0\r\n\r\n',
      )
      assert.match(answer, /^HTTP\/1\.1 400 /)
      assert.ok(answer.includes(name), answer)
    }
  })
})

/** A server with an upload of 100 bytes at `path`, and a way to say anything to it. */
async function serve(t: TestContext): Promise<{ path: string; say: (request: string) => Promise<string> }> {
  const connection = await transport.open(createTusHandler({ path: '/files', store: memoryStore() }))
  t.after(() => connection.close())
  const { origin } = connection
  const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '100' }
  const created = await fetch(`${origin}/files`, { method: 'POST', headers })
  const { port } = new URL(origin)
  return {
    path: new URL(created.headers.get('Location') ?? '').pathname,
    // All that the server answers until it closes; the client's side is closed after the request.
    say: (request) =>
      new Promise((resolve, reject) => {
        let answer = ''
        const socket = connect(Number(port), '127.0.0.1', () => socket.end(request, 'latin1'))
        socket.setEncoding('latin1')
        socket.on('data', (chunk: string) => (answer += chunk))
        socket.on('error', reject)
        socket.on('close', () => resolve(answer))
      }),
  }
}
