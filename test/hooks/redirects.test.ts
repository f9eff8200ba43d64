/** Receivers that have moved: what Go's client follows with the same method and body. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { listen, stop } from '../node-support.ts'
import { startServer } from '../support/server.ts'
import { all, post, upload } from './client.ts'
import { startReceiver } from './receiver.ts'

/** Answers every POST with a redirect; `location` is given the path. */
async function startMoved(answer: (path: string) => { status: number; location: string }) {
  const paths: string[] = []
  const credentials = new Set<string | undefined>()
  const server = createServer((request, response) => {
    const { url = '', headers } = request
    paths.push(url)
    credentials.add(headers.authorization)
    request.resume().on('end', () => {
      const { status, location } = answer(url)
      response.writeHead(status, { Location: location }).end()
    })
  })
  const port = await listen(server)
  return {
    paths,
    credentials,
    url: `http://127.0.0.1:${port}/old`,
    [Symbol.asyncDispose]: () => stop(server),
  }
}

test('307 and 308: followed with method, body and signature, but without credentials to another origin', async () => {
  await using receiver = await startReceiver()
  await using moved = await startMoved((path) =>
    path === '/old' ? { status: 308, location: '/newer' } : { status: 307, location: receiver.url },
  )
  const env = {
    FILELOFT_HOOKS_URL: moved.url,
    FILELOFT_HOOKS_EVENTS: all,
    FILELOFT_HOOKS_FORWARD_HEADERS: 'Authorization,X-Team',
    FILELOFT_HOOKS_SECRET: `whsec_${Buffer.from('x'.repeat(32)).toString('base64')}`,
  }
  await using server = await startServer({ env })
  await upload(server.url, 'hello', { Authorization: 'Bearer t', 'X-Team': 'blue' })
  await receiver.until(() => receiver.of('post-finish').length === 1)
  for (const { method, headers, hook } of receiver.deliveries) {
    assert.deepEqual([method, headers['content-type'], headers['x-team']], ['POST', 'application/json', 'blue'])
    assert.equal(headers['webhook-id'], hook.EventID)
    assert.match(String(headers['webhook-signature']), /^v1,/)
    assert.equal(headers.authorization, undefined, hook.Type)
  }
  assert.deepEqual([...moved.credentials], ['Bearer t'], 'a redirect within an origin keeps them')
  assert.deepEqual(moved.paths.slice(0, 2), ['/old', '/newer'])
})

test('redirects that ask for a GET, lead nowhere or never end: failures, said in the log', async () => {
  await using receiver = await startReceiver()
  let say = { status: 302, location: receiver.url }
  await using moved = await startMoved(() => say)
  const env = { FILELOFT_HOOKS_URL: moved.url, FILELOFT_HOOKS_EVENTS: 'pre-create', FILELOFT_HOOKS_RETRIES: '0' }
  await using server = await startServer({ env })
  const cases: [status: number, location: string, requests: number][] = [
    [301, receiver.url, 1],
    [302, receiver.url, 1],
    [303, receiver.url, 1],
    [307, 'ftp://127.0.0.1/', 1],
    [307, receiver.url.replace('//', '//user:word@'), 1],
    [308, '/old', 11],
  ]
  for (const [status, location, requests] of cases) {
    say = { status, location }
    moved.paths.length = 0
    assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500, String(status))
    await server.logged(({ err }) => JSON.stringify(err ?? '').includes(`it answered ${status}`))
    assert.equal(moved.paths.length, requests, String(status))
  }
  assert.deepEqual(receiver.deliveries, [])
  assert.deepEqual(
    server.log.filter((line) => line.includes('user:word')),
    [],
  )
})
