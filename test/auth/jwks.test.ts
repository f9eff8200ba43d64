/** The running server with keys from elsewhere: fetched, kept, rotated, and not to be had. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer, type TestServer } from '../support/server.ts'
import { ask, created, createIssuer, forge, fromNow, type KeyServer, patch, post, startKeyServer } from './support.ts'

function start(keys: KeyServer, env: Record<string, string> = {}): Promise<TestServer> {
  return startServer({
    env: {
      FILELOFT_AUTH_JWKS_URL: keys.url,
      FILELOFT_AUTH_AUDIENCE: 'uploads',
      FILELOFT_LOG: 'trace',
      // Each thread fetches for itself.
      FILELOFT_WORKERS: '1',
      ...env,
    },
  })
}

const aud = { aud: 'uploads' }

test('keys are fetched when the first token comes, once for many, and kept', async () => {
  const [rsa, ec, ed] = [await createIssuer('a'), await createIssuer('b', 'ES256'), await createIssuer('c', 'EdDSA')]
  await using keys = await startKeyServer([rsa.jwk, ec.jwk, ed.jwk])
  await using server = await start(keys)
  assert.equal(keys.requests, 0)
  const tokens = await Promise.all([rsa, ec, ed, rsa, ec, ed].map((issuer) => issuer.sign(aud)))
  for (const answer of await Promise.all(tokens.map((token) => post(server.url, token)))) {
    assert.equal(answer.status, 201)
  }
  assert.equal(keys.requests, 1)
  assert.equal((await post(server.url, await rsa.sign({ aud: 'other' }))).status, 401)
  assert.equal((await post(server.url, await rsa.sign({ ...aud, exp: fromNow(-60) }))).status, 401)
  assert.equal((await post(server.url, null)).status, 401)
  assert.equal(keys.requests, 1)
})

test('two threads: each fetches the keys once, for its own requests', async () => {
  const issuer = await createIssuer('a')
  await using keys = await startKeyServer([issuer.jwk])
  await using server = await start(keys, { FILELOFT_WORKERS: '2' })
  const token = await issuer.sign(aud)
  // A connection for each request, which the system gives to one thread or the other.
  for (let n = 0; n < 12; n++) assert.equal((await post(server.url, token, { Connection: 'close' })).status, 201)
  assert.equal(keys.requests, 2)
})

test('rotation: a token with a new key has them fetched again; one with a key that is gone is refused', async () => {
  const [old, next] = [await createIssuer('old'), await createIssuer('next')]
  await using keys = await startKeyServer([old.jwk])
  await using server = await start(keys, { FILELOFT_AUTH_JWKS_COOLDOWN: '0' })
  assert.equal((await post(server.url, await old.sign(aud))).status, 201)
  keys.answer([old.jwk, next.jwk])
  assert.equal((await post(server.url, await next.sign(aud))).status, 201)
  assert.equal((await post(server.url, await old.sign(aud))).status, 201)
  assert.equal(keys.requests, 2)
  keys.answer([next.jwk])
  // Nothing tells that the old one is gone before they are fetched again.
  assert.equal((await post(server.url, await next.sign(aud, { kid: 'unknown' }))).status, 401)
  assert.equal((await post(server.url, await old.sign(aud))).status, 401)
  assert.equal((await post(server.url, await next.sign(aud))).status, 201)
})

test('within the cooldown unknown keys have nothing fetched, however many tokens name them', async () => {
  const issuer = await createIssuer('a')
  await using keys = await startKeyServer([issuer.jwk])
  await using server = await start(keys)
  assert.equal((await post(server.url, await issuer.sign(aud))).status, 201)
  for (let i = 0; i < 20; i++) {
    const answer = await post(server.url, await issuer.sign(aud, { kid: `unknown-${i}` }))
    assert.equal(answer.status, 401)
    assert.match(answer.headers.get('www-authenticate') ?? '', /error="invalid_token"/)
  }
  assert.equal(keys.requests, 1)
})

test('keys that have become too old are fetched again', async () => {
  const [old, next] = [await createIssuer('same'), await createIssuer('same')]
  await using keys = await startKeyServer([old.jwk])
  await using server = await start(keys, { FILELOFT_AUTH_JWKS_MAX_AGE: '1' })
  assert.equal((await post(server.url, await old.sign(aud))).status, 201)
  keys.answer([next.jwk])
  const refused = await until(async () => (await post(server.url, await old.sign(aud))).status === 401)
  assert.ok(refused, 'the old key counts for ever')
  assert.equal((await post(server.url, await next.sign(aud))).status, 201)
})

test('a token that names no key is checked with all that could have signed it', async () => {
  const [first, second, stranger] = [await createIssuer('a'), await createIssuer('b'), await createIssuer('c')]
  await using keys = await startKeyServer([first.jwk, second.jwk])
  await using server = await start(keys)
  for (const issuer of [first, second]) {
    assert.equal((await post(server.url, await issuer.sign(aud, { kid: undefined }))).status, 201)
  }
  assert.equal((await post(server.url, await stranger.sign(aud, { kid: undefined }))).status, 401)
  assert.equal((await post(server.url, await second.sign({ aud: 'x' }, { kid: undefined }))).status, 401)
})

test('algorithm confusion with fetched keys: HMAC with what they publish, a key or an address in the token', async () => {
  const issuer = await createIssuer('a')
  const attacker = await createIssuer('a')
  await using keys = await startKeyServer([issuer.jwk])
  await using theirs = await startKeyServer([attacker.jwk])
  await using server = await start(keys)
  const payload = { ...aud, exp: fromNow(600) }
  const secrets = [JSON.stringify(issuer.jwk), String(issuer.jwk.n), Buffer.from(String(issuer.jwk.n), 'base64url')]
  for (const secret of secrets) {
    assert.equal((await post(server.url, forge({ alg: 'HS256', kid: 'a' }, payload, secret))).status, 401)
  }
  assert.equal((await post(server.url, await attacker.sign(aud))).status, 401)
  assert.equal((await post(server.url, await attacker.sign(aud, { jwk: attacker.jwk }))).status, 401)
  assert.equal((await post(server.url, await attacker.sign(aud, { jku: theirs.url, x5u: theirs.url }))).status, 401)
  assert.equal(theirs.requests, 0)
  assert.equal((await post(server.url, await issuer.sign(aud))).status, 201)
})

for (const failure of ['error', 'garbage', 'nothing'] as const) {
  test(`no keys at the first token (${failure}): 503, which clients retry, and 423 for HEAD; then they come`, async () => {
    const issuer = await createIssuer('a')
    await using keys = await startKeyServer([])
    keys.answer(failure)
    await using server = await start(keys)
    const token = await issuer.sign(aud)
    const refused = await post(server.url, token, { Origin: 'https://app.example' })
    assert.equal(refused.status, 503, refused.text)
    assert.deepEqual(
      [refused.headers.get('retry-after'), refused.text],
      ['5', 'Tokens cannot be checked at the moment\n'],
    )
    assert.equal(refused.headers.get('access-control-allow-origin'), '*')
    assert.equal(refused.headers.get('www-authenticate'), null)
    // tus-js-client would start a new upload on anything else.
    assert.equal((await ask(`${server.url}/abc`, 'HEAD', token)).status, 423)
    assert.equal((await patch(`${server.url}/abc`, token, 0, 'hello')).status, 503)
    assert.equal((await post(server.url, null)).status, 401)
    assert.equal((await post(server.url, 'garbage')).status, 401)
    assert.equal(keys.requests, 1, 'requests do not wait for it one after the other')
    const line = await server.logged(({ msg }) => msg === 'the keys that sign tokens cannot be fetched')
    assert.equal(line['level'], 'error')
    keys.answer([issuer.jwk])
    assert.ok(await until(async () => (await post(server.url, token)).status === 201), 'the keys are never fetched')
    assert.ok(!server.log.join('\n').includes(token))
  })
}

test('while the keys cannot be fetched again, those fetched last count, and an unknown one is no fault of the client', async () => {
  const [issuer, next] = [await createIssuer('a'), await createIssuer('b')]
  await using keys = await startKeyServer([issuer.jwk])
  await using server = await start(keys, { FILELOFT_AUTH_JWKS_COOLDOWN: '0', FILELOFT_AUTH_JWKS_MAX_AGE: '1' })
  const url = await created(server, await issuer.sign(aud))
  keys.answer('error')
  const line = server.logged(({ msg }) => msg === 'the keys that sign tokens cannot be fetched')
  assert.equal((await post(server.url, await next.sign(aud))).status, 503)
  await line
  assert.equal((await ask(url, 'HEAD', await issuer.sign(aud))).status, 200)
  assert.equal((await patch(url, await issuer.sign(aud), 0, 'hello')).status, 204)
  assert.equal((await post(server.url, await issuer.sign({ ...aud, exp: fromNow(-60) }))).status, 401)
  keys.answer([next.jwk])
  assert.ok(await until(async () => (await post(server.url, await next.sign(aud))).status === 201))
})

/** Asks again and again, for ten seconds at most. */
async function until(condition: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + 10_000
  while (performance.now() < end) if (await condition()) return true
  return false
}
