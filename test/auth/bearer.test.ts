/** The running server with bearer tokens: who is let in, what the others are told, and what browsers see of it. */
import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { SignJWT } from 'jose'
import { runCli, startCli, temporaryDirectory } from '../cli-support.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { ask, assertAll, created, forge, fromNow, octets, patch, post, secret, statuses, token } from './support.ts'

const [first, second] = ['first-token-0123456789', 'second-token-0123456789']

/** Asserts a 401 with the challenge that RFC 6750 wants: nothing where no token was sent, else why it is not good. */
function assertRefused(answer: { status: number; headers: Headers; text: string }, problem: string | null): void {
  assert.equal(answer.status, 401, answer.text)
  const reason = problem === null ? '' : `, error="invalid_token", error_description="${problem}"`
  assert.equal(answer.headers.get('www-authenticate'), `Bearer realm="uploads"${reason}`)
  assert.ok(answer.text.startsWith(problem ?? 'A bearer token is needed'), answer.text)
}

test('without any setting of authorization everybody is let in, and a warning says so but for loopback', async () => {
  using directory = temporaryDirectory()
  await using open = await startCli({ FILELOFT_BIND: '0.0.0.0:0', FILELOFT_DATA_DIR: directory.path })
  await open.line(({ level, msg }) => level === 'warn' && /no FILELOFT_AUTH_ setting says who is let in/.test(msg))
  assert.equal((await post(`http://127.0.0.1:${open.port}/files`, null)).status, 201)
  await using local = await startServer()
  assert.equal((await post(local.url, null)).status, 201)
  assert.deepEqual(
    local.records().filter(({ level }) => level === 'warn'),
    [],
  )
})

describe('static tokens', () => {
  let server: TestServer
  before(async () => {
    const env = { FILELOFT_AUTH_TOKENS: `${first}, ${second}`, FILELOFT_ENABLE_DOWNLOAD: 'true', FILELOFT_LOG: 'trace' }
    server = await startServer({ env })
  })
  after(() => server.close())

  test('each of them lets in for everything', async () => {
    for (const token of [first, second]) {
      const url = await created(server, token)
      assert.equal((await patch(url, token, 0, 'hello')).status, 204)
      assert.equal((await ask(url, 'HEAD', second)).headers.get('upload-offset'), '5')
      assert.equal((await ask(url, 'GET', token)).text, 'hello')
      assert.equal((await ask(url, 'DELETE', token)).status, 204)
    }
  })

  test('without one, with a wrong one, one cut off or made longer, and with others schemes: 401 by every method', async () => {
    const url = await created(server, first)
    assertRefused(await post(server.url, null), null)
    for (const wrong of ['wrong-token-0123456789', first.slice(0, -1), `${first}x`, `${first},${second}`, 'a b', '"']) {
      const known = /^[\w\-.~+/]+=*$/.test(wrong) ? 'The token is not valid' : 'The token is malformed'
      assertRefused(await post(server.url, wrong), known)
    }
    for (const header of [`Basic ${btoa(`user:${first}`)}`, first, `Bearer${first}`, `Token ${first}`]) {
      assertRefused(await post(server.url, null, { Authorization: header }), null)
    }
    assertRefused(await post(server.url, null, { Authorization: 'Bearer' }), 'The token is malformed')
    assert.equal((await post(server.url, null, { Authorization: `bearer  ${first}` })).status, 201)
    assertAll(await statuses(url, null), 401)
    assertAll(await statuses(url, 'wrong-token-0123456789'), 401)
    // Whether there is such an upload is not told either.
    assertAll(await statuses(`${server.url}/nothing-here`, null), 401)
    assert.equal((await ask(url, 'HEAD', first)).headers.get('upload-offset'), '0')
  })

  test('a token in the query, in a cookie or in the body is none', async () => {
    for (const name of ['access_token', 'token', 'authorization', 'grant']) {
      assertRefused(await post(`${server.url}?${name}=${first}`, null), null)
    }
    assertRefused(await post(server.url, null, { Cookie: `access_token=${first}` }), null)
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
    assertRefused(await ask(server.url, 'POST', null, form, `access_token=${first}`), null)
  })

  test('a browser: the preflight passes without a token, and the page can read the refusal', async () => {
    const origin = { Origin: 'https://app.example' }
    const preflight = await fetch(server.url, {
      method: 'OPTIONS',
      headers: {
        ...origin,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,tus-resumable,upload-length',
      },
    })
    assert.equal(preflight.status, 204)
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Authorization/)
    assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST/)
    const refused = await post(server.url, null, origin)
    assertRefused(refused, null)
    assert.equal(refused.headers.get('access-control-allow-origin'), '*')
    assert.match(refused.headers.get('access-control-expose-headers') ?? '', /WWW-Authenticate/)
    const wrong = await post(server.url, 'wrong-token-0123456789', origin)
    assert.equal(wrong.headers.get('access-control-allow-origin'), '*')
    assert.equal((await post(server.url, first, origin)).status, 201)
    assert.equal((await fetch(server.url, { method: 'OPTIONS' })).status, 204)
  })

  test('probes need no token, and other paths lead nowhere without one', async () => {
    assert.equal((await fetch(`${server.origin}/healthz`)).status, 200)
    assert.equal((await fetch(`${server.origin}/readyz`)).status, 200)
    assert.equal((await fetch(`${server.origin}/other`)).status, 404)
  })

  test('bytes of a refused request are not stored, nor asked for', async () => {
    const answer = await ask(server.url, 'POST', null, { ...octets, 'Upload-Length': '5' }, 'hello')
    assertRefused(answer, null)
    const url = await created(server, first)
    assertRefused(await patch(url, null, 0, 'hello'), null)
    assert.equal((await ask(url, 'HEAD', first)).headers.get('upload-offset'), '0')
  })

  test('no token is in the log, at any level', async () => {
    await server.logged(({ status }) => status === 401)
    await server.stop()
    const log = server.log.join('\n')
    assert.ok(log.includes('"status":401'))
    for (const token of [first, second, first.slice(0, -1), 'wrong-token']) assert.ok(!log.includes(token), token)
    await server.restart()
  })
})

describe('JSON Web Tokens signed with a secret', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      env: {
        FILELOFT_AUTH_JWT_SECRET: secret,
        FILELOFT_AUTH_ISSUER: 'https://id.example',
        FILELOFT_AUTH_AUDIENCE: 'uploads',
        FILELOFT_AUTH_LEEWAY: '30',
        FILELOFT_AUTH_TOKENS: first,
        FILELOFT_LOG: 'trace',
      },
    })
  })
  after(() => server.close())
  const claims = { iss: 'https://id.example', aud: 'uploads' }

  test('a good one lets in; static tokens do so beside them', async () => {
    assert.equal((await post(server.url, token(claims))).status, 201)
    assert.equal((await post(server.url, token({ ...claims, aud: ['other', 'uploads'] }))).status, 201)
    assert.equal((await post(server.url, first)).status, 201)
  })

  test('the clock may be off by the leeway, and by no more', async () => {
    assert.equal((await post(server.url, token({ ...claims, exp: fromNow(-5) }))).status, 201)
    assert.equal((await post(server.url, token({ ...claims, nbf: fromNow(25) }))).status, 201)
    assertRefused(await post(server.url, token({ ...claims, exp: fromNow(-40) })), 'The token has expired')
    assertRefused(await post(server.url, token({ ...claims, nbf: fromNow(90) })), 'The token is not valid yet')
  })

  test('expired, not yet valid, without end, of another issuer or for another audience: 401 that says which', async () => {
    const cases: [Record<string, unknown>, string][] = [
      [{ ...claims, exp: fromNow(-60) }, 'The token has expired'],
      [{ ...claims, nbf: fromNow(60) }, 'The token is not valid yet'],
      [{ ...claims, exp: undefined }, 'The token has no end'],
      [{ ...claims, exp: 'tomorrow' }, 'The token is not valid'],
      [{ ...claims, iss: 'https://id.example/' }, 'The token is from another issuer'],
      [{ ...claims, iss: undefined }, 'The token is from another issuer'],
      [{ ...claims, aud: 'upload' }, 'The token is for another audience'],
      [{ ...claims, aud: [] }, 'The token is for another audience'],
      [{ ...claims, aud: undefined }, 'The token is for another audience'],
    ]
    for (const [payload, problem] of cases) assertRefused(await post(server.url, token(payload)), problem)
  })

  test('signed in another way, tampered with, or garbage: 401', async () => {
    const payload = { ...claims, exp: fromNow(600) }
    const good = token(claims)
    const [, body = '', signature = ''] = good.split('.')
    const header = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const changed = Buffer.from(JSON.stringify({ ...payload, sub: 'admin' })).toString('base64url')
    const bad: Record<string, string> = {
      'another secret': forge({ alg: 'HS256' }, payload, 'another-secret-of-thirty-two-bytes!!'),
      'an algorithm that is not pinned': forge({ alg: 'HS512' }, payload, secret, 'sha512'),
      none: `${header({ alg: 'none' })}.${body}.`,
      None: `${header({ alg: 'None' })}.${body}.`,
      'none with a signature': `${header({ alg: 'none' })}.${body}.${signature}`,
      'no algorithm': forge({ typ: 'JWT' }, payload),
      crit: forge({ alg: 'HS256', crit: ['b64'], b64: false }, payload),
      'an unknown crit': forge({ alg: 'HS256', crit: ['x'], x: 1 }, payload),
      'an empty crit': forge({ alg: 'HS256', crit: [] }, payload),
      'another payload': `${good.split('.')[0]}.${changed}.${signature}`,
      'no signature': `${good.split('.', 2).join('.')}.`,
      'two parts': good.split('.', 2).join('.'),
      'five parts': `${good}.a.b`,
      'a list of claims': forge({ alg: 'HS256' }, [payload]),
      'no JSON': `${header({ alg: 'HS256' })}.bm90IGpzb24.${signature}`,
      garbage: 'garbage',
      long: 'x'.repeat(20_000),
    }
    for (const [what, each] of Object.entries(bad)) {
      const answer = await post(server.url, each)
      assert.equal(answer.status, 401, what)
      assertRefused(answer, 'The token is not valid')
    }
    await server.logged(({ status }) => status === 401)
    for (const each of [good, body, secret, first]) assert.ok(!server.log.join('\n').includes(each))
  })
})

describe('JSON Web Tokens signed with a private key', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = pemOf(rsa.publicKey)
  const sign = (key: KeyObject, alg: string) =>
    new SignJWT({ sub: 'ann', exp: fromNow(600) }).setProtectedHeader({ alg }).sign(key)

  test('RSA, P-256 and Ed25519, as text, as one line and as a file', async () => {
    using directory = temporaryDirectory()
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const ed = generateKeyPairSync('ed25519')
    const file = join(directory.path, 'key.pem')
    await writeFile(file, pemOf(ed.publicKey))
    const cases: [string, KeyObject, string][] = [
      [pem, rsa.privateKey, 'RS256'],
      [pem, rsa.privateKey, 'PS512'],
      [pemOf(ec.publicKey).replaceAll('\n', '\\n'), ec.privateKey, 'ES256'],
      [file, ed.privateKey, 'EdDSA'],
    ]
    for (const [key, privateKey, alg] of cases) {
      await using server = await startServer({ env: { FILELOFT_AUTH_JWT_PUBLIC_KEY: key } })
      assert.equal((await post(server.url, await sign(privateKey, alg))).status, 201, alg)
      const others = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
      assertRefused(await post(server.url, await sign(others, 'RS256')), 'The token is not valid')
    }
  })

  test('algorithm confusion: HMAC with the public key, whichever way it is written, is refused', async () => {
    await using server = await startServer({ env: { FILELOFT_AUTH_JWT_PUBLIC_KEY: pem } })
    assert.equal((await post(server.url, await sign(rsa.privateKey, 'RS256'))).status, 201)
    const payload = { sub: 'admin', exp: fromNow(600) }
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' })
    for (const key of [pem, pem.trim(), `${pem.trim()}\r\n`, der, der.toString('base64')]) {
      for (const [alg, hash] of [
        ['HS256', 'sha256'],
        ['HS384', 'sha384'],
        ['HS512', 'sha512'],
      ] as const) {
        assertRefused(await post(server.url, forge({ alg }, payload, key, hash)), 'The token is not valid')
      }
    }
    // A key of the attacker's own, in the token itself.
    const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const jwk = attacker.publicKey.export({ format: 'jwk' })
    const own = await new SignJWT(payload).setProtectedHeader({ alg: 'RS256', jwk }).sign(attacker.privateKey)
    assertRefused(await post(server.url, own), 'The token is not valid')
  })

  test('FILELOFT_AUTH_ALGORITHMS pins them further', async () => {
    const env = { FILELOFT_AUTH_JWT_PUBLIC_KEY: pem, FILELOFT_AUTH_ALGORITHMS: 'PS256' }
    await using server = await startServer({ env })
    assert.equal((await post(server.url, await sign(rsa.privateKey, 'PS256'))).status, 201)
    assertRefused(await post(server.url, await sign(rsa.privateKey, 'RS256')), 'The token is not valid')
  })

  test('a key that cannot be used ends start and check with one line and exit code 1, and is not shown', async () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const cases: [string, RegExp, string?][] = [
      ['/nonexistent/key.pem', /^fileloft: FILELOFT_AUTH_JWT_PUBLIC_KEY cannot be read: /],
      ['-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----', /holds no public key in PEM/],
      [String(rsa.privateKey.export({ type: 'pkcs8', format: 'pem' })), /is a private key; the public one is needed/],
      [pemOf(short.publicKey), /must be RSA with at least 2048 bits/],
      [pem, /is a key for RS256, .*, not for ES256/, 'ES256'],
    ]
    using directory = temporaryDirectory()
    for (const [key, expected, algorithms = ''] of cases) {
      for (const command of ['check', 'serve']) {
        const { code, stdout, stderr } = await runCli([command, '--bind', '127.0.0.1:0'], {
          FILELOFT_DATA_DIR: directory.path,
          FILELOFT_AUTH_JWT_PUBLIC_KEY: key,
          FILELOFT_AUTH_AUDIENCE: 'uploads',
          FILELOFT_AUTH_ALGORITHMS: algorithms,
        })
        assert.deepEqual([code, stdout], [1, ''], stderr)
        assert.match(stderr, expected)
        assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
        assert.ok(!stderr.includes('hunter2') && !stderr.includes('MII'), stderr)
      }
    }
  })
})

describe('scopes', () => {
  test('each operation needs its own; a HEAD goes with writing as with reading', async () => {
    const env = { FILELOFT_AUTH_JWT_SECRET: secret, FILELOFT_AUTH_SCOPES: 'true', FILELOFT_ENABLE_DOWNLOAD: 'true' }
    await using server = await startServer({
      env: { ...env, FILELOFT_AUTH_TOKENS: first, FILELOFT_ENABLE_CONCATENATION: 'true' },
    })
    const scoped = (scope: unknown) => token({ scope })
    const url = await created(server, scoped('openid uploads:create'))
    const needs: [string, string[]][] = [
      ['HEAD', ['uploads:write', 'uploads:read']],
      ['PATCH', ['uploads:write']],
      ['GET', ['uploads:read']],
      ['DELETE', ['uploads:delete']],
    ]
    const all = ['uploads:create', 'uploads:write', 'uploads:read', 'uploads:delete']
    for (const [method, good] of needs) {
      const body = method === 'PATCH' ? 'hello' : undefined
      const send = (scope: string) => ask(url, method, scoped([scope]), { ...octets, 'Upload-Offset': '0' }, body)
      for (const scope of [...all.filter((each) => !good.includes(each)), 'uploads', '', 'uploads:*']) {
        const refused = await send(scope)
        assert.equal(refused.status, 403, `${method} with ${scope}`)
        const challenge = `error="insufficient_scope", error_description="The token lacks the scope ${good[0]}", scope="${good[0]}"`
        assert.equal(refused.headers.get('www-authenticate'), `Bearer realm="uploads", ${challenge}`)
        assert.equal(refused.headers.get('access-control-allow-origin'), '*')
      }
      for (const scope of good) assert.ok((await send(scope)).status < 300, `${method} with ${scope}`)
    }
    for (const scope of [undefined, null, 7, { 'uploads:create': true }, 'uploads:createx', 'uploads:write']) {
      assert.equal((await post(server.url, scoped(scope))).status, 403, JSON.stringify(scope))
    }
    const partial = await created(server, first, { 'Upload-Length': '0', 'Upload-Concat': 'partial' })
    const final = { 'Upload-Concat': `final;${partial}` }
    assert.equal((await ask(server.url, 'POST', scoped('uploads:write'), final)).status, 403)
    assert.equal((await ask(server.url, 'POST', scoped('uploads:create'), final)).status, 201)
  })

  test('FILELOFT_AUTH_SCOPE_CLAIM names another claim', async () => {
    await using server = await startServer({
      env: {
        FILELOFT_AUTH_JWT_SECRET: secret,
        FILELOFT_AUTH_SCOPES: 'true',
        FILELOFT_AUTH_SCOPE_CLAIM: 'https://app.example/permissions',
      },
    })
    assert.equal((await post(server.url, token({ scope: 'uploads:create' }))).status, 403)
    const named = token({ 'https://app.example/permissions': ['uploads:create'] })
    assert.equal((await post(server.url, named)).status, 201)
  })
})

function pemOf(key: KeyObject): string {
  return String(key.export({ type: 'spki', format: 'pem' }))
}
