/** Every type of hook and every field of an answer, with a receiver written from tusd's documentation. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { SignJWT } from 'jose'
import { Webhook } from 'standardwebhooks'
import { startServer } from '../support/server.ts'
import { all, create, head, idOf, metadata, patch, post, remove, trickle, upload } from './client.ts'
import { type Hook, type Say, startReceiver } from './receiver.ts'

/** A server that tells this receiver of everything. */
async function serve(answer: (hook: Hook) => Say = () => ({}), env: Record<string, string> = {}) {
  const receiver = await startReceiver(answer)
  const server = await startServer({
    env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all, ...env },
  })
  return {
    receiver,
    server,
    async [Symbol.asyncDispose]() {
      await server.close()
      await receiver[Symbol.asyncDispose]()
    },
  }
}

test('each type is sent when tusd sends it, with all fields of the request', async () => {
  await using running = await serve()
  const { receiver, server } = running
  const meta = metadata({ filename: 'höhe.txt', empty: '' })
  const location = await create(`${server.url}?key=k`, 11, {
    'Upload-Metadata': meta,
    'x-some-header': 'one',
    Cookie: 'c=1',
  })
  const id = idOf(location)
  assert.equal((await patch(location, 0, 'hello ')).status, 204)
  assert.equal((await patch(location, 6, 'world')).status, 204)
  await receiver.until(() => receiver.of('post-finish').length === 1)
  assert.equal((await remove(location)).status, 204)
  await receiver.until(() => receiver.of('post-terminate').length === 1)

  const types = receiver.deliveries.map(({ hook }) => hook.Type).filter((type) => type !== 'post-receive')
  assert.deepEqual(types, ['pre-create', 'post-create', 'pre-finish', 'post-finish', 'pre-terminate', 'post-terminate'])
  for (const { method, headers } of receiver.deliveries) {
    assert.deepEqual([method, headers['content-type']], ['POST', 'application/json'])
  }
  const [first] = receiver.of('pre-create')
  const { Upload, HTTPRequest } = first!.hook.Event
  assert.deepEqual(Upload, {
    ID: '',
    Size: 11,
    SizeIsDeferred: false,
    Offset: 0,
    MetaData: { filename: 'höhe.txt', empty: '' },
    IsPartial: false,
    IsFinal: false,
    PartialUploads: null,
    Storage: null,
  })
  assert.deepEqual([HTTPRequest.Method, HTTPRequest.URI], ['POST', '/files?key=k'])
  assert.match(HTTPRequest.RemoteAddr, /^127\.0\.0\.1:[1-9]\d*$/)
  assert.deepEqual(HTTPRequest.Header['X-Some-Header'], ['one'])
  assert.deepEqual(HTTPRequest.Header['Tus-Resumable'], ['1.0.0'])
  assert.deepEqual(HTTPRequest.Header['Cookie'], ['c=1'])
  assert.deepEqual(HTTPRequest.Header['Host'], [`127.0.0.1:${server.port}`])

  const path = join(server.dataDir, id)
  const Storage = { Type: 'filestore', Path: path, InfoPath: `${path}.info` }
  const created = receiver.of('post-create')[0]!.hook.Event
  assert.deepEqual(created.Upload, { ...Upload, ID: id, Storage })
  // What is kept until it is delivered holds no credentials.
  assert.equal(created.HTTPRequest.URI, '/files')
  assert.equal(created.HTTPRequest.Header['Cookie'], undefined)
  assert.deepEqual(created.HTTPRequest.Header['X-Some-Header'], ['one'])
  const finished = receiver.of('post-finish')[0]!.hook
  assert.deepEqual(finished.Event.Upload, { ...Upload, ID: id, Offset: 11, Storage })
  assert.deepEqual(
    [finished.Event.HTTPRequest.Method, finished.Event.HTTPRequest.URI],
    ['PATCH', new URL(location).pathname],
  )
  assert.equal(receiver.of('post-terminate')[0]!.hook.Event.HTTPRequest.Method, 'DELETE')
  const ids = receiver.deliveries.map(({ hook }) => hook.EventID)
  assert.equal(new Set(ids).size, ids.length, ids.join())
  for (const { headers, hook } of receiver.deliveries) assert.equal(headers['webhook-id'], hook.EventID)
})

test('unless it is told otherwise, the events are those of tusd', async () => {
  await using running = await serve(() => ({}), { FILELOFT_HOOKS_EVENTS: '' })
  const { receiver, server } = running
  const location = await upload(server.url, 'hello')
  await receiver.until(() => receiver.of('post-finish').length === 1)
  assert.equal((await remove(location)).status, 204)
  await receiver.until(() => receiver.of('post-terminate').length === 1)
  const types = new Set(receiver.deliveries.map(({ hook }) => hook.Type))
  types.delete('post-receive')
  assert.deepEqual([...types], ['pre-create', 'post-create', 'post-finish', 'post-terminate'])
})

test('pre-create, RejectUpload: the answer that it says, 400 where it says nothing, and nothing is stored', async () => {
  const answers: Say[] = [
    {
      RejectUpload: true,
      HTTPResponse: { StatusCode: 403, Body: '{"a":1}', Header: { 'Content-Type': 'application/json' } },
    },
    { RejectUpload: true },
    // Go does not mind the spelling, and null is nothing.
    {
      rejectupload: true,
      httpResponse: { statusCode: 422, body: 'no', header: { 'content-type': 'text/x' } },
      ChangeFileInfo: null,
    },
  ]
  await using running = await serve(({ Type }) => (Type === 'pre-create' ? answers.shift() : undefined) ?? {})
  const { receiver, server } = running
  const refused = await post(server.url, { 'Upload-Length': '5' })
  assert.deepEqual(
    [refused.status, await refused.text(), refused.headers.get('content-type'), refused.headers.get('location')],
    [403, '{"a":1}', 'application/json', null],
  )
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 400)
  const spelled = await post(server.url, { 'Upload-Length': '5' })
  assert.deepEqual([spelled.status, await spelled.text(), spelled.headers.get('content-type')], [422, 'no', 'text/x'])
  assert.deepEqual(receiver.of('post-create'), [])
})

test('pre-create, ChangeFileInfo and HTTPResponse: other id and metadata, headers and body for the client', async () => {
  await using running = await serve(({ Type }) =>
    Type === 'pre-create'
      ? {
          ChangeFileInfo: { ID: 'team/abc-1', MetaData: { 'my-custom-field': 'ä', other: '' }, Storage: {} },
          HTTPResponse: { StatusCode: 202, Body: 'created', Header: { 'X-Id': 'abc', Location: 'http://evil/' } },
        }
      : {},
  )
  const { receiver, server } = running
  const answer = await post(server.url, { 'Upload-Length': '5', 'Upload-Metadata': metadata({ filename: 'x' }) })
  assert.deepEqual(
    [answer.status, await answer.text(), answer.headers.get('x-id'), answer.headers.get('location')],
    [202, 'created', 'abc', `${server.url}/team/abc-1`],
  )
  assert.ok(existsSync(join(server.dataDir, 'team/abc-1')))
  const shown = await head(`${server.url}/team/abc-1`)
  assert.equal(shown.headers.get('upload-metadata'), `${metadata({ 'my-custom-field': 'ä' })},other`)
  await receiver.until(() => receiver.of('post-create').length === 1)
  const { Upload } = receiver.of('post-create')[0]!.hook.Event
  assert.deepEqual([Upload.ID, Upload.MetaData], ['team/abc-1', { 'my-custom-field': 'ä', other: '' }])
})

test('pre-finish adds to the answer, also of a HEAD that finishes what a failure has left undone', async () => {
  let failures = 1
  await using running = await serve(
    ({ Type }) => {
      if (Type !== 'pre-finish') return {}
      if (failures-- > 0) return 400
      return { HTTPResponse: { Body: 'done', Header: { Link: '<https://example.com/1>; rel="related"' } } }
    },
    { FILELOFT_HOOKS_RETRIES: '0' },
  )
  const { receiver, server } = running
  const location = await create(server.url, 5)
  assert.equal((await patch(location, 0, 'hello')).status, 500)
  const again = await head(location)
  assert.deepEqual(
    [again.status, again.headers.get('upload-offset'), again.headers.get('link')],
    [200, '5', '<https://example.com/1>; rel="related"'],
  )
  await receiver.until(() => receiver.of('post-finish').length === 1)
  // The failure came before it: nobody was told of an upload that is not complete.
  const order = receiver.deliveries.map(({ hook }) => hook.Type).filter((type) => type.endsWith('finish'))
  assert.deepEqual(order, ['pre-finish', 'pre-finish', 'post-finish'])

  const other = await create(server.url, 5)
  const answered = await patch(other, 0, 'hello')
  assert.deepEqual([answered.status, await answered.text()], [200, 'done'])
})

test('pre-terminate, RejectTermination: the upload stays', async () => {
  let reject = true
  await using running = await serve(({ Type }) =>
    Type === 'pre-terminate' && reject
      ? { RejectTermination: true, HTTPResponse: { StatusCode: 409, Body: 'still needed' } }
      : {},
  )
  const { receiver, server } = running
  const location = await create(server.url, 5)
  const refused = await remove(location)
  assert.deepEqual([refused.status, await refused.text()], [409, 'still needed'])
  assert.equal((await head(location)).status, 200)
  reject = false
  assert.equal((await remove(location)).status, 204)
  await receiver.until(() => receiver.of('post-terminate').length === 1)
})

test('post-receive, StopUpload: the request ends with the answer that it says, and the upload is removed', async () => {
  await using running = await serve(({ Type }) =>
    Type === 'post-receive' ? { StopUpload: true, HTTPResponse: { StatusCode: 410, Body: 'no longer wanted' } } : {},
  )
  const { receiver, server } = running
  const location = await create(server.url, 1000)
  await receiver.until(() => receiver.of('post-create').length === 1)
  using sending = trickle(location, 1000)
  const answer = await sending.answer
  assert.deepEqual([answer.status, await answer.text()], [410, 'no longer wanted'])
  await receiver.until(() => receiver.of('post-terminate').length === 1)
  assert.equal((await head(location)).status, 404)
  const { Upload } = receiver.of('post-receive')[0]!.hook.Event
  assert.ok(Upload.Offset > 0 && Upload.Offset < 1000)
})

test('partial uploads and the final one made of them run the hooks, each marked as what it is', async () => {
  await using running = await serve(() => ({}), { FILELOFT_ENABLE_CONCATENATION: 'true' })
  const { receiver, server } = running
  const parts = await Promise.all(
    ['abc', 'def'].map((text) => upload(server.url, text, { 'Upload-Concat': 'partial' })),
  )
  const answer = await post(server.url, { 'Upload-Concat': `final;${parts.join(' ')}`, 'Upload-Metadata': 'a Yg==' })
  assert.equal(answer.status, 201)
  const id = idOf(answer.headers.get('location') ?? '')
  await receiver.until(() => receiver.of('post-finish').length === 3)
  for (const type of ['pre-create', 'post-create', 'pre-finish', 'post-finish']) {
    const uploads = receiver.of(type).map(({ hook }) => hook.Event.Upload)
    assert.deepEqual(uploads.map(({ IsPartial, IsFinal }) => [IsPartial, IsFinal]).sort(byText), [
      [false, true],
      [true, false],
      [true, false],
    ])
    const final = uploads.find(({ IsFinal }) => IsFinal)!
    assert.deepEqual(
      [final.ID, final.Size, final.PartialUploads, final.MetaData],
      [type === 'pre-create' ? '' : id, 6, parts.map(idOf), { a: 'b' }],
    )
    assert.deepEqual(uploads.find(({ IsPartial }) => IsPartial)!.PartialUploads, null)
  }
})

test('a deferred length is told as such, and empty uploads are finished', async () => {
  await using running = await serve()
  const { receiver, server } = running
  const answer = await post(server.url, { 'Upload-Defer-Length': '1' })
  await create(server.url, 0)
  assert.equal((await patch(answer.headers.get('location') ?? '', 0, 'abc', { 'Upload-Length': '3' })).status, 204)
  await receiver.until(() => receiver.of('post-finish').length === 2)
  const [deferred] = receiver.of('pre-create')
  assert.deepEqual([deferred!.hook.Event.Upload.Size, deferred!.hook.Event.Upload.SizeIsDeferred], [0, true])
  const sizes = receiver.of('post-finish').map(({ hook }) => [hook.Event.Upload.Size, hook.Event.Upload.SizeIsDeferred])
  assert.deepEqual(sizes.sort(byText), [
    [0, false],
    [3, false],
  ])
})

test('forwarded headers go along, with credentials where they are named, and others do not', async () => {
  await using running = await serve(() => ({}), { FILELOFT_HOOKS_FORWARD_HEADERS: 'Authorization, X-Team' })
  const { receiver, server } = running
  await upload(server.url, 'hello', { authorization: 'Bearer t', 'x-team': 'blue', Cookie: 'c=1' })
  await receiver.until(() => receiver.of('post-finish').length === 1)
  for (const { headers, hook } of receiver.deliveries) {
    assert.deepEqual([headers['authorization'], headers['x-team'], headers['cookie']], ['Bearer t', 'blue', undefined])
    assert.deepEqual(hook.Event.HTTPRequest.Header['Authorization'], ['Bearer t'])
  }
})

test('signed requests are verified by the library of Standard Webhooks, with the old secret and with the new one', async () => {
  const secrets = ['x', 'y'].map((letter) => `whsec_${Buffer.from(letter.repeat(32)).toString('base64')}`)
  await using running = await serve(() => ({}), { FILELOFT_HOOKS_SECRET: secrets.join(',') })
  const { receiver, server } = running
  await upload(server.url, 'hello', { 'Upload-Metadata': metadata({ filename: 'ü.txt' }) })
  await receiver.until(() => receiver.of('post-finish').length === 1)
  assert.ok(receiver.deliveries.length >= 4)
  for (const { raw, headers, hook } of receiver.deliveries) {
    for (const secret of secrets) {
      assert.deepEqual(new Webhook(secret).verify(raw, headers as Record<string, string>), hook)
    }
    const stranger = new Webhook(`whsec_${Buffer.from('z'.repeat(32)).toString('base64')}`)
    assert.throws(() => stranger.verify(raw, headers as Record<string, string>), /No matching signature/)
  }
})

function byText(a: unknown[], b: unknown[]): number {
  return String(a) < String(b) ? -1 : 1
}

test('what the client’s token claims is told, to all hooks of the request; the token itself is kept nowhere', async () => {
  const secret = 'a-secret-of-more-than-thirty-two-bytes'
  const [issuer, audience] = ['https://id.example.com/', 'uploads']
  await using running = await serve(() => ({}), {
    FILELOFT_AUTH_JWT_SECRET: secret,
    FILELOFT_AUTH_ISSUER: issuer,
    FILELOFT_AUTH_AUDIENCE: audience,
  })
  const { receiver, server } = running
  const token = await new SignJWT({ sub: 'ann' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime('1 minute')
    .sign(new TextEncoder().encode(secret))
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 401)
  await upload(server.url, 'hello', { Authorization: `Bearer ${token}` })
  await receiver.until(() => receiver.of('post-finish').length === 1)
  for (const { hook, raw } of receiver.deliveries) {
    assert.equal((hook.Event as { Claims?: { sub?: string } }).Claims?.sub, 'ann', hook.Type)
    const isKept = ['post-create', 'post-finish'].includes(hook.Type)
    assert.equal(raw.includes(token), !isKept, hook.Type)
  }
})
