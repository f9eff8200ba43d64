/** What the running server writes to its log, and what it never writes. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loggedError, redact } from '../src/node/redact.ts'
import { createUpload, runCli, startCli, temporaryDirectory, tus } from './cli-support.ts'
import { exchange, listen, rawClient } from './node-support.ts'
import { startAzurite } from './servers/azurite.ts'
import { startServer } from './support/server.ts'
import { azure } from './support/storage-dialects.ts'
import { startStorageProxy } from './support/storage-proxy.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('X-Request-Id: taken where it is sane, else made; in every answer, exposed to pages, and in the log', async () => {
  await using server = await startServer({ env: { FILELOFT_LOG: 'debug', FILELOFT_METRICS: 'true' } })
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const answer = await fetch(server.origin + path, { method, headers })
    await answer.body?.cancel()
    return answer
  }
  const taken = await ask('/files', { 'X-Request-Id': 'trace-1_2.3:4/5+6=', 'Upload-Length': '5', ...tus }, 'POST')
  assert.equal(taken.status, 201)
  assert.equal(taken.headers.get('x-request-id'), 'trace-1_2.3:4/5+6=')
  assert.match(taken.headers.get('access-control-expose-headers') ?? '', /X-Request-Id/)
  const line = await server.logged(({ requestId }) => requestId === 'trace-1_2.3:4/5+6=')
  assert.deepEqual([line['method'], line['status']], ['POST', 201])

  for (const insane of ['', 'a b', 'x'.repeat(129), '"quoted"', 'ä', '<script>', 'a,b']) {
    const made = (await ask('/files', { 'X-Request-Id': insane }, 'OPTIONS')).headers.get('x-request-id')
    assert.match(made ?? '', uuid, insane)
  }
  const paths: [string, number][] = [
    ['/files/none', 405],
    ['/elsewhere', 404],
    ['/healthz', 200],
    ['/readyz', 200],
    ['/metrics', 200],
  ]
  for (const [path, status] of paths) {
    const answer = await ask(path, { 'X-Request-Id': `at${path}` })
    assert.deepEqual([answer.status, answer.headers.get('x-request-id')], [status, `at${path}`])
    assert.equal((await server.logged(({ requestId }) => requestId === `at${path}`))['path'], path)
  }
  const odd = await exchange(server.port, 'GET * HTTP/1.1\r\nHost: a\r\nX-Request-Id: odd\r\nConnection: close\r\n\r\n')
  assert.match(odd, /^HTTP\/1\.1 400 [^]*x-request-id: odd\r\n/i)
})

test('a failure is logged with the id of its request, as is the request itself', async () => {
  await using server = await startServer()
  const url = await createUpload(server.origin, 5)
  writeFileSync(join(server.dataDir, `${url.slice(url.lastIndexOf('/') + 1)}.info`), '{broken')
  const answer = await fetch(url, { method: 'HEAD', headers: { ...tus, 'X-Request-Id': 'broken-1' } })
  assert.equal(answer.status, 500)
  const failure = await server.logged(({ msg, requestId }) => msg === 'failure' && requestId === 'broken-1')
  assert.equal(failure['target'], 'fileloft::handler')
  assert.equal(failure['path'], new URL(url).pathname)
  await server.logged(({ msg, requestId }) => msg === 'request' && requestId === 'broken-1')
})

test('FILELOFT_LOG gives each component its level', async () => {
  const targetsOf = async (filter: string) => {
    await using server = await startServer({ env: { FILELOFT_LOG: filter } })
    const url = await createUpload(server.origin, 5)
    writeFileSync(join(server.dataDir, `${url.slice(url.lastIndexOf('/') + 1)}.info`), '{broken')
    await fetch(url, { method: 'HEAD', headers: tus })
    await fetch(`${server.origin}/healthz`)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    const seen = server.records().map(({ target, level }) => `${String(target)} ${String(level)}`)
    return [...new Set(seen)].sort()
  }
  assert.deepEqual(await targetsOf('info'), [
    'fileloft::handler error',
    'fileloft::http error',
    'fileloft::http info',
    'fileloft_server info',
  ])
  assert.deepEqual(await targetsOf('info,fileloft::http=off'), ['fileloft::handler error', 'fileloft_server info'])
  assert.deepEqual(await targetsOf('info,fileloft::http=debug,fileloft::handler=off'), [
    'fileloft::http debug',
    'fileloft::http error',
    'fileloft::http info',
    'fileloft_server info',
  ])
})

test('no secret of a request reaches the log at level trace: headers, cookies, queries, user and password', async () => {
  using directory = temporaryDirectory()
  await using server = await startCli({ FILELOFT_DATA_DIR: directory.path, FILELOFT_LOG: 'trace' })
  const secrets = { Authorization: 'Bearer hunter2', Cookie: 'session=hunter2', 'X-Request-Id': 'hunter2 spaced' }
  const url = await createUpload(server.origin, 5, secrets)
  writeFileSync(join(directory.path, `${url.slice(url.lastIndexOf('/') + 1)}.info`), '{broken')
  const failed = await fetch(`${url}?token=hunter2&sig=hunter2`, { method: 'HEAD', headers: { ...tus, ...secrets } })
  assert.equal(failed.status, 500)
  await fetch(`${server.origin}/readyz?hunter2`, { headers: secrets })
  using client = await rawClient(server.port)
  client.socket.write('GET http://me:hunter2@a.example/else?hunter2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await client.closed
  await server.line(({ path }) => path === '/else')
  server.process.kill('SIGTERM')
  assert.equal(await server.exit, 0)
  assert.ok(!server.output().includes('hunter2'), server.output())
})

test('a storage that quotes what it was sent: no credential and no signature in the log, causes included', async () => {
  const key = Buffer.from('a-secret-that-no-message-may-show').toString('base64')
  let fails = false
  // Answers as the service does, and in the end with an error that holds all that it was told.
  await using storage = createServer((request, response) => {
    request.resume()
    const told = `${request.url} ${JSON.stringify(request.headers)} AccountKey=${key}; sig=${key}`
    if (fails) {
      response.writeHead(403, { 'Content-Type': 'application/xml', 'x-ms-error-code': 'AuthenticationFailed' })
      response.end(`<Error><Code>AuthenticationFailed</Code><Message>Denied: ${told}</Message></Error>`)
    } else {
      response.writeHead(request.method === 'HEAD' || request.method === 'GET' ? 404 : 201, {
        'x-ms-error-code': 'BlobNotFound',
        etag: '"1"',
      })
      response.end()
    }
  })
  const port = await listen(storage)
  const connection = `DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=${key};BlobEndpoint=http://127.0.0.1:${port}/acc;`
  const environment = {
    FILELOFT_AZURE_CONTAINER: 'c',
    FILELOFT_AZURE_CONNECTION_STRING: connection,
    FILELOFT_LOG: 'trace',
  }
  fails = true
  const { code, stdout, stderr } = await runCli(['check'], environment)
  assert.equal(code, 1, stdout)
  assert.match(stderr, /fileloft: /)
  assert.doesNotMatch(stdout + stderr, new RegExp(`${key}|SharedKey acc:`))
})

test('a storage that breaks off: its failure is logged with causes, without key and signature', async (t) => {
  await using azurite = await startAzurite()
  if (azurite === null) return t.skip('Azurite is not installed')
  await using proxy = await startStorageProxy(new URL(azurite.endpoint).origin, { dialect: azure })
  const connection = azurite.connectionStringVia(proxy.origin)
  await using server = await startServer({
    env: {
      FILELOFT_AZURE_CONTAINER: await azurite.newContainer(),
      FILELOFT_AZURE_CONNECTION_STRING: connection,
      FILELOFT_LOG: 'trace',
      FILELOFT_DATA_DIR: '',
    },
  })
  proxy.plan({ fault: { is: 'refuse' }, times: 1000 })
  const answer = await fetch(server.url, { method: 'POST', headers: { ...tus, 'Upload-Length': '5' } })
  assert.equal(answer.status, 503)
  const failure = await server.logged(({ msg }) => msg === 'failure')
  assert.match(JSON.stringify(failure['err']), /"cause":\{"type"/)
  const key = /AccountKey=([^;]+)/.exec(connection)?.[1] ?? assert.fail('no key')
  const log = server.log.join('\n')
  assert.ok(!log.includes(key) && !/SharedKey fileloft:/.test(log), log)
})

test('text is logged without what looks like a secret, and otherwise as it is', () => {
  const hidden: [string, string][] = [
    ['GET https://me:pw@h.example/a/b?X-Amz-Signature=abc&x=1 failed', 'GET https://***@h.example/a/b?*** failed'],
    ['PUT /c/blob?sv=2020&sig=abc%3D answered 403', 'PUT /c/blob?*** answered 403'],
    ['AccountName=a;AccountKey=k3y==;EndpointSuffix=x', 'AccountName=a;AccountKey=***;EndpointSuffix=x'],
    ['SharedAccessSignature=sv=2020&sig=abc', 'SharedAccessSignature=***&sig=***'],
    ['{"authorization":"Bearer abc.def","host":"h"}', '{"authorization":"***","host":"h"}'],
    ['Authorization: Basic abc\nHost: h', 'Authorization: ***\nHost: h'],
    ['cookie: a=b; c=d\r\nx: y', 'cookie: ***\r\nx: y'],
    ['sent Bearer abc.def-_~ to it', 'sent Bearer *** to it'],
    ['aws_secret_access_key=abc, region=x', 'aws_secret_access_key=***, region=x'],
    ['{"accessToken":"abc","id":1}', '{"accessToken":"***","id":1}'],
  ]
  for (const [text, expected] of hidden) assert.equal(redact(text), expected)
  for (const plain of [
    "ENOENT: no such file, open '/data/a.info'",
    'is this right?',
    'at file:///a/b.ts:12:3',
    'x = 1',
  ]) {
    assert.equal(redact(plain), plain)
  }
})

test('an error is logged with its causes, and of its fields only those that hold no secrets', () => {
  const inner = Object.assign(new Error('GET https://h/?sig=hunter2'), {
    code: 'ECONNRESET',
    request: { headers: { authorization: 'hunter2' } },
  })
  const outer = new AggregateError([new TypeError('Bearer hunter2'), 'hunter2'.replace(/.*/, 'text')], 'Several', {
    cause: inner,
  })
  const logged = loggedError(outer)
  assert.doesNotMatch(JSON.stringify(logged), /hunter2/)
  assert.deepEqual(
    [logged.cause?.code, logged.errors?.[0]?.type, logged.errors?.[1]?.message],
    ['ECONNRESET', 'TypeError', 'text'],
  )
  assert.match(logged.stack ?? '', /logs\.test\.ts/)
  const endless = new Error('a') as Error & { cause: unknown }
  endless.cause = endless
  assert.ok(JSON.stringify(loggedError(endless)).length < 50_000)
})
