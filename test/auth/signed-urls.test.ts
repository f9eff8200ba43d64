/** Signed URLs on the running server: printed by `fileloft sign`, used by tus-js-client and by others. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createSigner, type CreationOptions, type SignedCreation } from '../../src/signed-urls.ts'
import { runCli } from '../cli-support.ts'
import {
  assertStored,
  countAnswers,
  idOf,
  makeFile,
  MiB,
  type SourceFile,
  storedIds,
  temporaryFolder,
} from '../clients/support.ts'
import { run, statusOf, trackUpload } from '../clients/tus.ts'
import { startReceiver } from '../hooks/receiver.ts'
import { startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { ask, assertAll, created, octets, patch, post, secret, statuses, token, urlSecret } from './support.ts'

const size = 3 * MiB + 17
const filetype = (type: string) => `filetype ${btoa(type)}`

describe('tus-js-client with a signed URL and no other credential', () => {
  const resources = new AsyncDisposableStack()
  let server: TestServer
  let file: SourceFile
  before(async () => {
    const env = { FILELOFT_AUTH_URL_SECRET: urlSecret, FILELOFT_LOG: 'trace', FILELOFT_ENABLE_CONCATENATION: 'true' }
    server = resources.use(await startServer({ env }))
    const folder = resources.use(await temporaryFolder())
    file = await makeFile(join(folder.path, 'source.bin'), size)
  })
  after(() => resources.disposeAsync())
  const sign = (options?: CreationOptions, url = server.url): Promise<SignedCreation> =>
    createSigner({ secret: urlSecret, url }).signCreation(options)

  test('creation, interruption, resume: one identical file, every request by the signed URL', async () => {
    await using proxy = await startBreakingProxy(server.port, [
      { kind: 'cut', at: MiB },
      { kind: 'reset', at: 2 * MiB },
    ])
    const signed = await sign({ maxSize: size, types: ['image/*'] }, `${proxy.origin}/files`)
    const metadata = { filetype: 'image/png' }
    const { upload, answers } = await run(trackUpload(file.path, { endpoint: signed.url, metadata }))
    assert.equal(proxy.happened.length, 2)
    assert.equal(upload.url, signed.uploadUrl)
    assert.equal(countAnswers(answers, 'POST'), 1)
    assert.ok(countAnswers(answers, 'HEAD', 200) >= 1, 'it never resumed')
    await assertStored(server, upload.url, file)
  })

  test('paused, the server killed, resumed by another client that knows nothing but the upload’s URL', async () => {
    const signed = await sign()
    const first = trackUpload(file.path, { endpoint: signed.url, chunkSize: MiB })
    const reached = first.progress(2 * MiB)
    first.upload.start()
    await first.during(reached)
    await first.upload.abort()
    await server.restart({ signal: 'SIGKILL' })
    const second = await run(trackUpload(file.path, { uploadUrl: first.upload.url ?? '' }))
    assert.equal(countAnswers(second.answers, 'POST'), 0)
    await assertStored(server, second.upload.url, file)
  })

  test('the answer to the creation is lost: with both URLs the client finds what it has created', async () => {
    await using proxy = await startBreakingProxy(server.port)
    const signed = await sign({}, `${proxy.origin}/files`)
    const before = await storedIds(server)
    // Somebody, a browser that crashed say, has created it and never heard of it.
    assert.equal((await post(signed.url, null, { 'Upload-Length': String(size) })).status, 201)
    const { url: endpoint, uploadUrl } = signed
    const { answers } = await run(trackUpload(file.path, { endpoint, uploadUrl }))
    assert.equal(countAnswers(answers, 'POST'), 0)
    await assertStored(server, uploadUrl, file)
    // And nothing is there before anybody has created it.
    const next = await sign()
    const fresh = await run(trackUpload(file.path, { endpoint: next.url, uploadUrl: next.uploadUrl }))
    assert.deepEqual([fresh.answers[0]?.method, fresh.answers[0]?.status], ['HEAD', 404])
    await assertStored(server, next.uploadUrl, file)
    assert.equal((await storedIds(server)).length, before.length + 2)
  })

  test('a second creation with the same URL: 409, also after a restart; the first upload stays as it is', async () => {
    const signed = await sign()
    await run(trackUpload(file.path, { endpoint: signed.url }))
    await server.restart({ signal: 'SIGKILL' })
    const again = trackUpload(Buffer.from('other'), { endpoint: signed.url, retryDelays: [0] })
    await assert.rejects(run(again), (error) => statusOf(error as never) === 409)
    assert.deepEqual(again.retried, [409])
    await assertStored(server, signed.uploadUrl, file)
  })

  test('too large, of another type, expired, in parallel: refused for good, nothing stored', async () => {
    const before = await storedIds(server)
    const refusals: [number, CreationOptions, object][] = [
      [413, { maxSize: size - 1 }, {}],
      [413, { maxSize: size - 1 }, { uploadDataDuringCreation: true }],
      [415, { types: ['image/*'] }, { metadata: { filetype: 'video/mp4' } }],
      [415, { types: ['image/*'] }, {}],
      [403, { expiresInSeconds: 0.001 }, {}],
      [403, {}, { parallelUploads: 2 }],
    ]
    for (const [status, options, client] of refusals) {
      const signed = await sign(options)
      // Claims hold whole seconds; that one is over when the next begins.
      while (options.expiresInSeconds !== undefined && (await post(signed.url, null)).status === 201) {
        before.push(idOf(signed.uploadUrl))
      }
      const tracked = trackUpload(file.path, { endpoint: signed.url, ...client })
      await assert.rejects(run(tracked), (error) => statusOf(error as never) === status, JSON.stringify(options))
    }
    assert.deepEqual((await storedIds(server)).sort(), [...new Set(before)].sort())
  })

  test('a length told later is limited, too: 413 while it is sent, what was within the limit stays', async () => {
    const signed = await sign({ maxSize: 2 * MiB })
    const options = { endpoint: signed.url, uploadLengthDeferred: true, chunkSize: MiB - 7 }
    const tracked = trackUpload(file.path, options)
    await assert.rejects(run(tracked), (error) => statusOf(error as never) === 413)
    const head = await ask(signed.uploadUrl, 'HEAD', null)
    assert.equal(head.headers.get('upload-offset'), String(2 * (MiB - 7)))
  })

  test('requests without the grant, or with one for something else: 403 by every method, readable by pages', async () => {
    const [mine, other] = [await sign(), await sign()]
    for (const each of [mine, other]) assert.equal((await post(each.url, null)).status, 201)
    const stolen = `${server.url}/${other.uploadId}${new URL(mine.url).search}`
    for (const url of [`${server.url}/${mine.uploadId}`, stolen, `${mine.uploadUrl}x`, `${mine.uploadUrl}&grant=x`]) {
      const { GET, ...answers } = await statuses(url, null)
      assertAll(answers, 403)
      assert.equal(GET, 405)
    }
    assert.equal((await ask(mine.uploadUrl, 'DELETE', null)).status, 403)
    const refused = await post(server.url, null, { Origin: 'https://app.example' })
    assert.deepEqual([refused.status, refused.text], [403, 'A signed URL is needed here\n'])
    assert.equal(refused.headers.get('access-control-allow-origin'), '*')
    assert.equal((await post(server.url, urlSecret)).status, 403)
    const preflight = await fetch(mine.uploadUrl, {
      method: 'OPTIONS',
      headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' },
    })
    assert.equal(preflight.status, 204)
  })

  test('neither the secret nor a grant is in the log, at any level', async () => {
    const signed = await sign()
    await post(signed.url, null)
    await patch(signed.uploadUrl, null, 0, 'hello')
    await ask(`${server.url}/nope${new URL(signed.url).search}`, 'GET', null)
    await server.logged(({ method, path }) => method === 'PATCH' && String(path).includes(signed.uploadId))
    await server.stop()
    const log = server.log.join('\n')
    assert.ok(log.includes(signed.uploadId))
    for (const each of ['grant=', urlSecret, new URL(signed.url).search.slice(7, 40)]) assert.ok(!log.includes(each))
    await server.restart()
  })
})

describe('fileloft sign', () => {
  const env = { FILELOFT_AUTH_URL_SECRET: urlSecret }

  test('prints a URL that creates one upload as its flags say, and one for an upload that exists', async () => {
    await using server = await startServer({ env: { ...env, FILELOFT_ENABLE_DOWNLOAD: 'true' } })
    const signed = await runCli(
      ['sign', '--url', server.url, '--max-size', '5', '--type', 'image/*', '--type', 'text/plain', '--json'].concat([
        '--metadata',
        'note=a=b',
        '--claim',
        'sub=ann',
        '--operations',
        'inspect,append,download',
      ]),
      env,
    )
    assert.deepEqual([signed.code, signed.stderr], [0, ''])
    const { url, uploadUrl, uploadId } = JSON.parse(signed.stdout) as SignedCreation
    assert.equal(
      (await post(url, null, { 'Upload-Length': '6', 'Upload-Metadata': filetype('image/png') })).status,
      413,
    )
    assert.equal((await post(url, null, { 'Upload-Metadata': filetype('image') })).status, 415)
    const answer = await post(url, null, { 'Upload-Metadata': filetype('text/plain') })
    assert.deepEqual([answer.status, answer.headers.get('location')], [201, uploadUrl])
    assert.equal((await patch(uploadUrl, null, 0, 'hello')).status, 204)
    assert.equal((await ask(uploadUrl, 'GET', null)).text, 'hello')
    const head = await ask(uploadUrl, 'HEAD', null)
    assert.equal(head.headers.get('upload-metadata'), `${filetype('text/plain')},note ${btoa('a=b')}`)

    const args = ['sign', '--url', server.url, '--upload', uploadId, '--operations', 'terminate', '--expires-in', '60']
    const ending = await runCli(args, env)
    assert.equal((await ask(ending.stdout.trim(), 'HEAD', null)).status, 403)
    assert.equal((await ask(ending.stdout.trim(), 'DELETE', null)).status, 204)
  })

  test('takes the URL from the settings of the server', async () => {
    const url = async (more: Record<string, string>) =>
      (await runCli(['sign'], { ...env, ...more })).stdout.split('?')[0]
    assert.equal(await url({}), 'http://localhost:8080/files')
    assert.equal(await url({ FILELOFT_BASE_URL: 'https://up.example/a/' }), 'https://up.example/a')
    assert.equal(await url({ FILELOFT_BIND: '[::1]:81', FILELOFT_BASE_PATH: '/' }), 'http://[::1]:81')
  })

  test('says what is wrong, exit code 2, and never shows the secret', async () => {
    const cases: [string[], Record<string, string>, RegExp][] = [
      [[], {}, /^fileloft: FILELOFT_AUTH_URL_SECRET is needed to sign URLs\n$/],
      [
        [],
        { FILELOFT_AUTH_URL_SECRET: 'hunter2' },
        /^fileloft: FILELOFT_AUTH_URL_SECRET is set to something; it must be /,
      ],
      [
        ['--max-size', 'x', '--expires-in', '1h', '--claim', 'x'],
        env,
        /max-size is "x"[^]*expires-in is "1h"[^]*claim is /,
      ],
      [['--type', 'png'], env, /types must be media types such as/],
      [['--operations', 'read'], env, /operations must be some of/],
      [['--upload', 'a', '--max-size', '5'], env, /--max-size does not go with --upload/],
      [['--upload', '../a'], env, /valid id/],
      [['--typ', 'a/b'], env, /Unknown option '--typ'/],
      [['--claim', 'exp=1'], env, /claim exp/],
    ]
    for (const [args, more, expected] of cases) {
      const { code, stdout, stderr } = await runCli(['sign', ...args], more)
      assert.deepEqual([code, stdout], [2, ''], stderr)
      assert.match(stderr, expected)
      assert.ok(!stderr.includes('hunter2') && !stderr.includes(urlSecret), stderr)
    }
    const help = await runCli(['sign', '--help'], {})
    assert.deepEqual([help.code, help.stderr], [0, ''])
    assert.match(help.stdout, /--max-size SIZE/)
  })
})

test('beside other credentials: each lets in by itself; a bad signed URL is not made good by a good token', async () => {
  const env = {
    FILELOFT_AUTH_URL_SECRET: `${urlSecret}-next,${urlSecret}`,
    FILELOFT_AUTH_JWT_SECRET: secret,
    FILELOFT_AUTH_OWNER_CLAIM: 'sub',
    FILELOFT_AUTH_SCOPES: 'true',
    FILELOFT_ENABLE_DOWNLOAD: 'true',
  }
  await using server = await startServer({ env })
  const signer = createSigner({ secret: urlSecret, url: server.url })
  const scope = 'uploads:create uploads:write uploads:read uploads:delete'
  const [ann, bob] = [token({ sub: 'ann', scope }), token({ sub: 'bob', scope })]
  assert.equal((await post(server.url, null)).status, 401)

  // Created by a signed URL that says who for: it is theirs.
  const signed = await signer.signCreation({ claims: { sub: 'ann' } })
  assert.equal((await post(signed.url, 'a-header-that-is-not-looked-at')).status, 201)
  const plain = `${server.url}/${signed.uploadId}`
  assertAll(await statuses(plain, null), 401)
  assertAll(await statuses(plain, bob), 404)
  assert.equal((await patch(plain, ann, 0, 'hell')).status, 204)
  assert.equal((await patch(signed.uploadUrl, null, 4, 'o')).status, 204)
  assert.equal((await ask(plain, 'GET', ann)).text, 'hello')

  // One that says nothing: nobody’s but its holder’s.
  const nobodys = await signer.signCreation()
  assert.equal((await post(nobodys.url, null)).status, 201)
  assertAll(await statuses(`${server.url}/${nobodys.uploadId}`, ann), 404)
  assert.equal((await ask(nobodys.uploadUrl, 'HEAD', null)).status, 200)

  // Ann's, shared for reading.
  const url = await created(server, ann)
  await patch(url, ann, 0, 'hello')
  const shared = await signer.signUpload(url.slice(url.lastIndexOf('/') + 1), { operations: ['download'] })
  assert.equal((await ask(shared, 'GET', null)).text, 'hello')
  assert.equal((await ask(shared, 'DELETE', ann)).status, 403)
  assert.equal((await ask(`${url}?grant=garbage`, 'HEAD', ann)).status, 403)
  assert.equal((await ask(`${url}?grant=${ann}`, 'HEAD', null)).status, 403)
  // And a signed URL's token is no bearer token.
  const grant = new URL(signed.url).searchParams.get('grant')
  assert.equal((await post(server.url, grant)).status, 401)

  // The former secret is taken out: what it has signed is void.
  await server.restart({ env: { FILELOFT_AUTH_URL_SECRET: `${urlSecret}-next` } })
  assert.equal((await ask(signed.uploadUrl, 'HEAD', null)).status, 403)
  assert.equal((await ask(plain, 'HEAD', ann)).status, 200)
})

test('two servers on one directory: one creation in all, and either goes on with it', async () => {
  await using first = await startServer({ env: { FILELOFT_AUTH_URL_SECRET: urlSecret } })
  await using second = await startServer({ env: { FILELOFT_AUTH_URL_SECRET: urlSecret }, dataDir: first.dataDir })
  const signed = await createSigner({ secret: urlSecret, url: first.url }).signCreation()
  const elsewhere = (url: string) => url.replace(first.origin, second.origin)
  const headers = { ...octets, 'Upload-Length': '10' }
  const answers = await Promise.all(
    [signed.url, elsewhere(signed.url), signed.url, elsewhere(signed.url)].map((url) => post(url, null, headers)),
  )
  assert.deepEqual(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [201, 409, 409, 409],
  )
  assert.equal((await patch(signed.uploadUrl, null, 0, 'hello')).status, 204)
  assert.equal((await patch(elsewhere(signed.uploadUrl), null, 5, 'world')).status, 204)
  assert.deepEqual(await storedIds(first), [signed.uploadId])
})

test('a creation that is refused all the same, the URL used, the client’s share sent: pre-create is not asked', async () => {
  await using receiver = await startReceiver()
  await using server = await startServer({
    env: {
      FILELOFT_AUTH_URL_SECRET: urlSecret,
      FILELOFT_HOOKS_URL: receiver.url,
      FILELOFT_HOOKS_EVENTS: 'pre-create',
      FILELOFT_MAX_BYTES_PER_CLIENT: '5',
    },
  })
  const signer = createSigner({ secret: urlSecret, url: server.url })
  const [used, other] = [await signer.signCreation(), await signer.signCreation({ maxSize: 4 })]
  const headers = { ...octets, 'Upload-Length': '5' }
  assert.equal((await ask(used.url, 'POST', null, headers, 'hello')).status, 201)
  const again = await post(used.url, null, { 'Upload-Length': '5' })
  assert.deepEqual([again.status, again.text], [409, 'An upload with this id exists already\n'])
  assert.equal((await ask(other.url, 'POST', null, headers, 'hello')).status, 429)
  assert.equal((await post(other.url, null, { 'Upload-Length': '5' })).status, 413)
  assert.equal(receiver.deliveries.length, 1)
})
