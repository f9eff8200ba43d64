/** The running server with owners: an upload is there for whoever created it, and for nobody else. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { patchHead, rawClient } from '../node-support.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { ask, assertAll, created, octets, patch, post, secret, statuses, token, tus } from './support.ts'

const backend = 'a-token-of-the-backend'
const [ann, bob] = [token({ sub: 'ann' }), token({ sub: 'bob' })]

describe('uploads that belong to whoever created them', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      env: {
        FILELOFT_AUTH_JWT_SECRET: secret,
        FILELOFT_AUTH_OWNER_CLAIM: 'sub',
        FILELOFT_AUTH_TOKENS: backend,
        FILELOFT_ENABLE_DOWNLOAD: 'true',
        FILELOFT_ENABLE_CONCATENATION: 'true',
      },
    })
  })
  after(() => server.close())

  test('the owner goes on with it, also with another token; others get 404 by every method, as for an unknown one', async () => {
    const url = await created(server, ann)
    assertAll(await statuses(url, bob), 404)
    assertAll(await statuses(`${server.url}/0123456789abcdef0123456789abcdef`, bob), 404)
    const known = await ask(url, 'GET', bob)
    const unknown = await ask(`${server.url}/0123456789abcdef0123456789abcdef`, 'GET', bob)
    assert.equal(known.text, unknown.text)
    assert.deepEqual(namesOf(known.headers), namesOf(unknown.headers))
    const later = token({ sub: 'ann', jti: 'another' })
    assert.equal((await patch(url, later, 0, 'hello')).status, 204)
    assert.equal((await ask(url, 'GET', later)).text, 'hello')
    assertAll(await statuses(url, bob), 404)
    assert.equal((await ask(url, 'HEAD', ann)).headers.get('upload-offset'), '5')
    assert.equal((await ask(url, 'DELETE', later)).status, 204)
    assertAll({ HEAD: (await ask(url, 'HEAD', ann)).status }, 404)
  })

  test('who tries to get at somebody else’s upload while it runs does not disturb it', async () => {
    const url = await created(server, ann, { 'Upload-Length': '10' })
    using client = await rawClient(server.port)
    client.socket.write(`${patchHead(url, 10, `Authorization: Bearer ${ann}\r\n`)}hello`)
    // Until the first bytes have arrived, it may be that nothing runs yet that could be disturbed.
    assert.ok(await stored(server, url, 5))
    for (let i = 0; i < 3; i++) assertAll(await statuses(url, bob), 404)
    client.socket.write('world')
    assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 204 [^]*upload-offset: 10/i)
  })

  test('concatenation of somebody else’s partials: 400, word for word as for unknown ones', async () => {
    const partial = (who: string) => created(server, who, { 'Upload-Concat': 'partial', 'Upload-Length': '0' })
    const [anns, bobs] = [await partial(ann), await partial(bob)]
    const join = (who: string, ...urls: string[]) =>
      ask(server.url, 'POST', who, { 'Upload-Concat': `final;${urls.join(' ')}` })
    const unknown = `${server.url}/0123456789abcdef0123456789abcdef`
    const [stolen, missing] = [await join(bob, bobs, anns), await join(bob, bobs, unknown)]
    assert.deepEqual([stolen.status, missing.status], [400, 400])
    assert.equal(stolen.text.replace(idOf(anns), 'ID'), missing.text.replace(idOf(unknown), 'ID'))
    const final = await join(ann, anns)
    assert.equal(final.status, 201)
    const url = final.headers.get('location') ?? ''
    assertAll(await statuses(url, bob), 404)
    assert.equal((await ask(url, 'HEAD', ann)).status, 200)
  })

  test('a static token sees all uploads; what it creates belongs to nobody and is seen by nobody else', async () => {
    const url = await created(server, ann)
    assert.equal((await ask(url, 'HEAD', backend)).status, 200)
    const own = await created(server, backend)
    assertAll(await statuses(own, ann), 404)
    assert.equal((await patch(own, backend, 0, 'hello')).status, 204)
  })

  test('a token that does not say who it is for is refused', async () => {
    const url = await created(server, ann)
    for (const sub of [undefined, '', null, ['ann'], { ann: true }, 1.5]) {
      const answer = await ask(url, 'HEAD', token({ sub }))
      assert.equal(answer.status, 401, JSON.stringify(sub))
      assert.match(answer.headers.get('www-authenticate') ?? '', /invalid_token.*does not say who/)
      assert.equal((await post(server.url, token({ sub }))).status, 401)
    }
    const numbered = await created(server, token({ sub: 17 }))
    assert.equal((await ask(numbered, 'HEAD', token({ sub: 17 }))).status, 200)
    assertAll(await statuses(numbered, token({ sub: 18 })), 404)
  })

  test('the client is not told who it belongs to, nor can it say so', async () => {
    const url = await created(server, ann, { 'Upload-Metadata': `owner ${btoa('bob')}`, Owner: 'bob' })
    const head = await ask(url, 'HEAD', ann)
    assert.equal(head.headers.get('upload-metadata'), `owner ${btoa('bob')}`)
    assert.ok(!JSON.stringify([...head.headers]).includes('ann'))
    assertAll(await statuses(url, bob), 404)
  })
})

test('uploads made before owners were asked for belong to nobody: 404 for all but a static token', async () => {
  const env = { FILELOFT_AUTH_JWT_SECRET: secret, FILELOFT_AUTH_TOKENS: backend, FILELOFT_ENABLE_DOWNLOAD: 'true' }
  await using server = await startServer({ env })
  const url = await created(server, ann)
  assert.equal((await ask(url, 'HEAD', bob)).status, 200)
  await server.restart({ env: { FILELOFT_AUTH_OWNER_CLAIM: 'sub' } })
  assertAll(await statuses(url, ann), 404)
  assertAll(await statuses(url, bob), 404)
  assert.equal((await ask(url, 'HEAD', backend)).status, 200)
})

test('another claim can name the owner, and what it names stays over a restart', async () => {
  const env = { FILELOFT_AUTH_JWT_SECRET: secret, FILELOFT_AUTH_OWNER_CLAIM: 'tenant' }
  await using server = await startServer({ env })
  const url = await created(server, token({ sub: 'ann', tenant: 'ünï cörn' }))
  await server.restart({ signal: 'SIGKILL' })
  assert.equal((await ask(url, 'HEAD', token({ sub: 'bob', tenant: 'ünï cörn' }))).status, 200)
  assert.equal((await ask(url, 'HEAD', token({ sub: 'ann', tenant: 'uni corn' }))).status, 404)
  assert.equal((await ask(url, 'HEAD', token({ sub: 'ann' }))).status, 401)
})

function idOf(url: string): string {
  return url.slice(url.lastIndexOf('/') + 1)
}

function namesOf(headers: Headers): string[] {
  return [...headers.keys()].sort()
}

/** Whether so many bytes arrive in the upload's file, without asking the server, which would end what runs. */
async function stored(server: TestServer, url: string, size: number): Promise<boolean> {
  const { stat } = await import('node:fs/promises')
  for (let i = 0; i < 500; i++) {
    const { size: now } = await stat(`${server.dataDir}/${idOf(url)}`).catch(() => ({ size: 0 }))
    if (now >= size) return true
    await fetch(`${server.origin}/healthz`, { headers: { ...tus, ...octets } })
  }
  return false
}
