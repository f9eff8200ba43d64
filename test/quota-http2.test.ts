/** Limits for clients whose bodies come over HTTP/2. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createUpload, tus } from './cli-support.ts'
import { octets, patch } from './quota-support.ts'
import { startServer } from './support/server.ts'

/** A PATCH from the beginning of an upload, whose body is to follow. */
function openPatch(session: ClientHttp2Session, url: string): ClientHttp2Stream {
  const headers = { ...tus, ...octets, 'upload-offset': '0' }
  const stream = session.request({ ':method': 'PATCH', ':path': new URL(url).pathname, ...headers })
  stream.on('error', () => undefined)
  return stream
}

test('HTTP/2 without TLS: a client that dies in the middle of a body gives its place back', async () => {
  await using server = await startServer({
    env: { FILELOFT_ENABLE_H2C: 'true', FILELOFT_MAX_ACTIVE_UPLOADS: '1', FILELOFT_LOG: 'info' },
  })
  const [url, other] = [await createUpload(server.origin, 1000), await createUpload(server.origin, 1000)]
  const socket = connect(server.port, '127.0.0.1')
  const session = connectHttp2(server.origin, { createConnection: () => socket })
  session.on('error', () => undefined)
  const begin = () => {
    const stream = openPatch(session, url)
    // One of the requests below may have the place for a moment when this one comes.
    stream.once('response', ({ ':status': status }) => status === 429 && begin())
    stream.write('hello')
  }
  begin()
  // At a wrong offset: 409 as soon as there is a place for it.
  const until = async (wanted: number) => {
    let status = 0
    for (const end = Date.now() + 20_000; status !== wanted && Date.now() < end;) {
      status = (await patch(other, 'hello', {}, 99)).status
    }
    assert.equal(status, wanted)
  }
  await until(429)
  // As the system does it for a process that was killed: no word of HTTP/2, just the end.
  socket.end()
  await until(409)
  session.destroy()
})

test('HTTP/2 without TLS: a body that is refused once it has begun ends its stream and gives its place back', async () => {
  await using server = await startServer({
    env: { FILELOFT_ENABLE_H2C: 'true', FILELOFT_MAX_ACTIVE_UPLOADS: '1', FILELOFT_LOG: 'info' },
  })
  const [url, other] = [await createUpload(server.origin, 1000), await createUpload(server.origin, 5)]
  const session = connectHttp2(server.origin)
  const send = (to: string, body: Buffer) => {
    const stream = openPatch(session, to)
    stream.resume()
    stream.end(body)
    return stream
  }
  // Far more than the upload's length, and than the connection takes at once.
  const tooLong = send(url, Buffer.alloc(8 << 20))
  const [head] = (await once(tooLong, 'response')) as [{ ':status': number }]
  assert.equal(head[':status'], 413)
  await once(tooLong, 'close')
  const next = send(other, Buffer.from('hello'))
  const [answer] = (await once(next, 'response')) as [{ ':status': number }]
  assert.equal(answer[':status'], 204)
  session.destroy()
})
