/** Signed URLs in the library: what they allow, and all that they do not. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mock, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import {
  combineHooks,
  createTusHandler,
  TusError,
  type TusHandler,
  type TusHandlerOptions,
  type Upload,
} from '../src/index.ts'
import { createSigner, createVerifier, signedUrlHooks, type SignedUrlContext } from '../src/signed-urls.ts'
import { memoryStore } from '../src/stores/memory.ts'

const secret = 'a secret of thirty-two bytes or more'
const url = 'https://up.example/files'
const signer = createSigner({ secret, url })
const tus = { 'Tus-Resumable': '1.0.0' }
const octets = { 'Content-Type': 'application/offset+octet-stream' }

function serve(options: Partial<TusHandlerOptions<SignedUrlContext>> = {}): TusHandler {
  return createTusHandler({ path: '/files', store: memoryStore(), ...signedUrlHooks({ secret }), ...options })
}

const send = (handler: TusHandler, to: string, method: string, headers: Record<string, string> = {}, body?: string) =>
  handler(new Request(to, { method, headers: { ...tus, ...headers }, ...(body !== undefined && { body }) }))

const post = (handler: TusHandler, to: string, headers: Record<string, string>, body?: string) =>
  send(handler, to, 'POST', headers, body)
const patch = (handler: TusHandler, to: string, offset: number, body: string, headers: Record<string, string> = {}) =>
  send(handler, to, 'PATCH', { ...octets, 'Upload-Offset': String(offset), ...headers }, body)

async function refused(answer: Promise<Response>, status: number, said: RegExp): Promise<void> {
  const response = await answer
  assert.equal(response.status, status, await response.clone().text())
  assert.match(await response.text(), said)
}

test('a signed creation: Location carries the grant, with which the upload is written and asked for', async () => {
  const finished: Upload[] = []
  const handler = serve({ onFinish: ({ upload, context }) => void finished.push(upload, ...(context ? [] : [upload])) })
  const signed = await signer.signCreation({ metadata: { project: 'ünï' }, claims: { sub: 'ann' } })
  assert.match(signed.url, /^https:\/\/up\.example\/files\?grant=[\w-]+\.[\w-]+\.[\w-]+$/)
  const created = await post(handler, signed.url, { 'Upload-Length': '10', 'Upload-Metadata': 'filename YQ==' })
  assert.equal(created.status, 201)
  const location = created.headers.get('location') ?? ''
  assert.equal(location, signed.uploadUrl)
  assert.equal((await patch(handler, location, 0, 'hello')).status, 204)
  const head = await send(handler, location, 'HEAD')
  assert.deepEqual([head.status, head.headers.get('upload-offset')], [200, '5'])
  assert.equal(head.headers.get('upload-metadata'), 'filename YQ==,project w7xuw68=')
  assert.equal((await patch(handler, location, 5, 'world')).status, 204)
  assert.equal(finished.length, 1)
  assert.equal(finished[0]?.id, signed.uploadId)
})

test('a signed creation, and a hook that gives the upload another id: 500, nothing is created', async () => {
  const store = memoryStore()
  const errors: unknown[] = []
  const handler = createTusHandler({
    path: '/files',
    store,
    onError: (error) => void errors.push(error),
    ...combineHooks<SignedUrlContext>([
      signedUrlHooks({ secret }),
      { onCreate: ({ upload }) => ({ id: `mine/${upload.id}` }) },
    ]),
  })
  const signed = await signer.signCreation({})
  assert.equal((await post(handler, signed.url, { 'Upload-Length': '10' })).status, 500)
  assert.match(String(errors[0]), /A hook has changed the id that a signed URL fixes/)
  for await (const { id } of store.incomplete()) assert.fail(`${id} was created`)
})

test('a signed creation allows one upload: a second one is answered 409, and nothing is overwritten', async () => {
  const handler = serve()
  const signed = await signer.signCreation()
  assert.equal((await post(handler, signed.url, { 'Upload-Length': '5', ...octets }, 'hello')).status, 201)
  await refused(post(handler, signed.url, { 'Upload-Length': '5', ...octets }, 'HELLO'), 409, /exists already/)
  const both = await signer.signCreation()
  const answers = await Promise.all([1, 2, 3].map(() => post(handler, both.url, { 'Upload-Length': '1' })))
  assert.deepEqual(
    answers.map(({ status }) => status).sort((a, b) => a - b),
    [201, 409, 409],
  )
})

test('a signed creation allows nothing but what it names, on no other upload', async () => {
  const handler = serve({ downloads: true })
  const [mine, other] = [await signer.signCreation(), await signer.signCreation()]
  for (const each of [mine, other]) await post(handler, each.url, { 'Upload-Length': '5' })
  const query = new URL(mine.url).search
  const theirs = `${url}/${other.uploadId}${query}`
  const not = /does not allow this/
  await refused(patch(handler, theirs, 0, 'hello'), 403, not)
  await refused(send(handler, theirs, 'DELETE'), 403, not)
  await refused(send(handler, theirs, 'GET'), 403, not)
  assert.equal((await send(handler, theirs, 'HEAD')).status, 403)
  await refused(send(handler, mine.uploadUrl, 'DELETE'), 403, not)
  await refused(send(handler, mine.uploadUrl, 'GET'), 403, not)
  await refused(send(handler, mine.uploadUrl, 'POST', { 'X-HTTP-Method-Override': 'DELETE' }), 403, not)
  const spare = await signer.signCreation()
  await refused(post(handler, spare.url, { 'Upload-Length': '5', 'Upload-Concat': 'partial' }), 403, not)
  await refused(post(handler, spare.url, { 'Upload-Concat': `final;${mine.uploadUrl}` }), 403, not)
  await refused(send(handler, `${url}/${mine.uploadId}`, 'HEAD', {}), 403, /^$/)
  await refused(post(handler, url, { 'Upload-Length': '5' }), 403, /signed URL is needed/)
  assert.equal((await handler(new Request(url, { method: 'OPTIONS' }))).status, 204)
})

test('operations: termination and downloads where they are signed, and one upload made by other means', async () => {
  const store = memoryStore()
  const open = createTusHandler({ path: '/files', store })
  const handler = serve({ store, downloads: true })
  const made = await post(open, url, { 'Upload-Length': '5', ...octets }, 'hello')
  const id = new URL(made.headers.get('location') ?? '').pathname.split('/').at(-1) ?? ''
  const download = await signer.signUpload(id, { operations: ['download'] })
  const file = await send(handler, download, 'GET')
  assert.deepEqual([file.status, await file.text()], [200, 'hello'])
  assert.equal(file.headers.get('referrer-policy'), 'no-referrer')
  await refused(send(handler, download, 'DELETE'), 403, /does not allow/)
  const ending = await signer.signUpload(id, { operations: ['terminate'] })
  assert.equal((await send(handler, ending, 'DELETE')).status, 204)
  await refused(post(handler, `${url}${new URL(ending).search}`, { 'Upload-Length': '5' }), 403, /does not allow/)

  const signed = await signer.signCreation({ id: 'folder/report.pdf', operations: ['terminate'] })
  assert.equal((await post(handler, signed.url, { 'Upload-Length': '5' })).status, 201)
  assert.equal((await send(handler, signed.uploadUrl, 'DELETE')).status, 204)
})

test('a signed creation for an id that somebody else has taken opens nothing of theirs', async () => {
  const handler = serve()
  const first = await signer.signCreation({ id: 'report.pdf' })
  await post(handler, first.url, { 'Upload-Length': '5' })
  const second = await signer.signCreation({ id: 'report.pdf', operations: ['inspect', 'append', 'terminate'] })
  assert.equal((await post(handler, second.url, { 'Upload-Length': '5' })).status, 409)
  assert.equal((await send(handler, second.uploadUrl, 'HEAD')).status, 404)
  assert.equal((await patch(handler, second.uploadUrl, 0, 'HELLO')).status, 404)
  assert.equal((await send(handler, second.uploadUrl, 'DELETE')).status, 404)
  assert.equal((await patch(handler, first.uploadUrl, 0, 'hello')).status, 204)
})

test('a size limit holds for declared, deferred and streamed lengths, and with no grant in the request, too', async () => {
  const store = memoryStore()
  const open = createTusHandler({ path: '/files', store, ...signedUrlHooks({ secret, required: false }) })
  const handler = serve({ store })
  const sign = () => signer.signCreation({ maxSize: 5 })
  const over = /larger than|left/
  await refused(post(handler, (await sign()).url, { 'Upload-Length': '6' }), 413, over)
  await refused(post(handler, (await sign()).url, { 'Upload-Length': '6', ...octets }, 'hello!'), 413, over)
  await refused(post(handler, (await sign()).url, { 'Upload-Defer-Length': '1', ...octets }, 'hello!'), 413, over)
  for (const length of [{ 'Upload-Length': '6' }, { 'Content-Length': '6' }, {}] as Record<string, string>[]) {
    const { url: create, uploadUrl } = await sign()
    assert.equal((await post(handler, create, { 'Upload-Defer-Length': '1' })).status, 201)
    assert.equal((await patch(handler, uploadUrl, 0, 'hell')).status, 204)
    assert.equal((await patch(handler, uploadUrl, 4, 'oops', length)).status, 413)
    const plain = uploadUrl.replace(/\?.*/, '')
    assert.equal((await patch(open, plain, 4, 'oops', length)).status, 413)
    assert.equal((await send(handler, uploadUrl, 'HEAD')).headers.get('upload-offset'), '4')
    assert.equal((await patch(handler, uploadUrl, 4, 'o', { 'Upload-Length': '5' })).status, 204)
  }
  const limited = serve({ maxSize: 3 })
  await refused(post(limited, (await sign()).url, { 'Upload-Length': '4' }), 413, /3 bytes/)
})

test('types: the filetype in the metadata must be one of them, as the client or the grant says it', async () => {
  const handler = serve()
  const type = (value: string) => ({ 'Upload-Length': '1', 'Upload-Metadata': `filetype ${btoa(value)}` })
  const sign = async () => (await signer.signCreation({ types: ['image/*', 'application/pdf'] })).url
  for (const good of ['image/png', 'IMAGE/JPEG', 'application/pdf', 'application/pdf; version=1.7']) {
    assert.equal((await post(handler, await sign(), type(good))).status, 201, good)
  }
  for (const bad of ['imagex/png', 'image', 'text/html', 'application/pdfx', '']) {
    await refused(post(handler, await sign(), type(bad)), 415, /image\/\* or application\/pdf/)
  }
  await refused(post(handler, await sign(), { 'Upload-Length': '1' }), 415, /filetype/)
  const said = await signer.signCreation({ types: ['image/*'], metadata: { filetype: 'image/png' } })
  assert.equal((await post(handler, said.url, type('text/html'))).status, 201)
  assert.equal(
    (await send(handler, said.uploadUrl, 'HEAD')).headers.get('upload-metadata'),
    `filetype ${btoa('image/png')}`,
  )
})

test('time: a creation must begin in time, the upload end in time', async () => {
  mock.timers.enable({ apis: ['Date'], now: Date.parse('2026-11-27T12:00:00Z') })
  try {
    const handler = serve()
    const sign = () => signer.signCreation({ createWithinSeconds: 60, expiresInSeconds: 600 })
    const [used, late] = [await sign(), await sign()]
    assert.equal((await post(handler, used.url, { 'Upload-Length': '5' })).status, 201)
    mock.timers.setTime(Date.now() + 61_000)
    await refused(post(handler, late.url, { 'Upload-Length': '5' }), 403, /no creation any more/)
    assert.equal((await patch(handler, used.uploadUrl, 0, 'hell')).status, 204)
    mock.timers.setTime(Date.now() + 600_000)
    await refused(patch(handler, used.uploadUrl, 4, 'o'), 403, /has expired/)
    await refused(post(handler, late.url, { 'Upload-Length': '5' }), 403, /has expired/)
  } finally {
    mock.timers.reset()
  }
})

test('rotation: URLs of the former secret are taken as long as it is listed, the first one signs', async () => {
  const next = 'another secret of thirty-two bytes at least'
  const old = await signer.signCreation()
  const both = serve(signedUrlHooks({ secret: [next, secret] }))
  assert.equal((await post(both, old.url, { 'Upload-Length': '5' })).status, 201)
  const fresh = await createSigner({ secret: [next, secret], url }).signCreation()
  assert.equal((await post(both, fresh.url, { 'Upload-Length': '5' })).status, 201)
  await refused(post(serve(), fresh.url, { 'Upload-Length': '5' }), 403, /not valid/)
  const only = serve(signedUrlHooks({ secret: next }))
  await refused(patch(only, old.uploadUrl, 0, 'hello'), 403, /not valid/)
})

/** A JSON Web Token as any library makes one. */
function jwt(header: object, payload: object, key = secret): string {
  const input = [header, payload].map((each) => Buffer.from(JSON.stringify(each)).toString('base64url')).join('.')
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}

const header = { alg: 'HS256', typ: 'upload-grant+jwt' }
const soon = () => Math.floor(Date.now() / 1000) + 60
const claims = () => ({ exp: soon(), create_before: soon(), jti: 'j', upload: 'an-id', operations: ['create'] })

test('a backend in any language can sign: a JSON Web Token without key id', async () => {
  const handler = serve()
  const token = jwt(header, { ...claims(), max_size: 5, types: ['image/*'], metadata: { filetype: 'image/png' } })
  assert.equal((await post(handler, `${url}?grant=${token}`, { 'Upload-Length': '5' })).status, 201)
})

test('whatever is not signed for this purpose with this secret, or makes no sense, is refused', async () => {
  const handler = serve()
  const good = jwt(header, claims())
  const [head = '', payload = '', signature = ''] = good.split('.')
  const none = Buffer.from(JSON.stringify({ ...header, alg: 'none' })).toString('base64url')
  const odd: Record<string, string> = {
    'a bearer token of the same secret': jwt({ alg: 'HS256', typ: 'JWT' }, claims()),
    'no type': jwt({ alg: 'HS256' }, claims()),
    'another secret': jwt(header, claims(), 'a different secret of thirty-two bytes'),
    'another algorithm': jwt({ ...header, alg: 'HS512' }, claims()),
    'alg none': `${none}.${payload}.`,
    'alg none, signature kept': `${none}.${payload}.${signature}`,
    'an unknown key id': jwt({ ...header, kid: 'nobody' }, claims()),
    crit: jwt({ ...header, crit: ['exp'] }, claims()),
    'another payload': `${head}.${Buffer.from(JSON.stringify({ ...claims(), upload: 'x' })).toString('base64url')}.${signature}`,
    'a signature cut off': good.slice(0, -4),
    'four parts': `${good}.x`,
    empty: '',
    garbage: 'garbage',
    long: `${good}${'x'.repeat(9000)}`,
    'no end': jwt(header, { ...claims(), exp: undefined }),
    'an end that is no number': jwt(header, { ...claims(), exp: String(soon()) }),
    'no id': jwt(header, { ...claims(), upload: undefined }),
    'an id that is a path': jwt(header, { ...claims(), upload: '../etc' }),
    'no operation': jwt(header, { ...claims(), operations: [] }),
    'an unknown operation': jwt(header, { ...claims(), operations: ['create', 'everything'] }),
    'operations as text': jwt(header, { ...claims(), operations: 'create' }),
    'no jti': jwt(header, { ...claims(), jti: undefined }),
    'a negative size': jwt(header, { ...claims(), max_size: -1 }),
    'no types': jwt(header, { ...claims(), types: [] }),
    'metadata that is no text': jwt(header, { ...claims(), metadata: { a: 1 } }),
    'a list': jwt(header, [claims()]),
  }
  for (const [what, token] of Object.entries(odd)) {
    const answer = await post(handler, `${url}?grant=${token}`, { 'Upload-Length': '5' })
    assert.deepEqual([answer.status, await answer.text()], [403, 'The signed URL is not valid\n'], what)
  }
  const twice = `${url}?grant=${good}&grant=${good}`
  await refused(post(handler, twice, { 'Upload-Length': '5' }), 403, /not valid/)
  await refused(post(handler, url, { 'Upload-Length': '5', Authorization: `Bearer ${good}` }), 403, /needed/)
})

test('signatures are compared by WebCrypto, which takes the same time for all of them', async () => {
  const verify = mock.method(crypto.subtle, 'verify')
  try {
    const verifier = createVerifier({ secret })
    const { url: signed } = await signer.signCreation()
    assert.equal((await verifier.verify(signed))?.operations.join(), 'create,inspect,append')
    await assert.rejects(verifier.verify(`${signed.slice(0, -8)}AAAAAAAA`), { status: 403 })
    assert.equal(await verifier.verify(url), null)
    assert.equal(verify.mock.callCount(), 2)
  } finally {
    verify.mock.restore()
  }
})

test('a signer and hooks that make no sense are refused when they are made', async () => {
  assert.throws(() => createSigner({ secret: 'short', url }), /at least 32 bytes/)
  assert.throws(() => createSigner({ secret: [], url }), /no secret/)
  assert.throws(() => createSigner({ secret, url: '/files' }), /http or https URL/)
  assert.throws(() => createSigner({ secret, url: `${url}?a` }), /http or https URL/)
  assert.throws(() => signedUrlHooks({ secret: [secret, 'short'] }), /at least 32 bytes/)
  await assert.rejects(signer.signCreation({ id: '../x' }), /valid id/)
  await assert.rejects(signer.signCreation({ maxSize: -1 }), /max_size/)
  await assert.rejects(signer.signCreation({ types: ['png'] }), /image\/png/)
  await assert.rejects(signer.signCreation({ claims: { exp: 1 } }), /claim exp/)
  await assert.rejects(signer.signCreation({ metadata: { 'a b': '' } }), /plain ASCII/)
  await assert.rejects(signer.signCreation({ expiresInSeconds: 0 }), /more than 0 seconds/)
  await assert.rejects(signer.signUpload('a', { operations: [] }), /operations/)
})

test('combined with hooks of the application: both decide, the grant is in the context', async () => {
  const seen: unknown[] = []
  const handler = createTusHandler<SignedUrlContext>({
    path: '/files',
    store: memoryStore(),
    ...combineHooks<SignedUrlContext>([
      signedUrlHooks({ secret }),
      {
        onLimit: () => 4,
        onCreate: ({ context }) => (seen.push(context?.grant?.claims['sub']), { query: { more: 'a b' } }),
      },
    ]),
  })
  const signed = await signer.signCreation({ claims: { sub: 'ann' }, maxSize: 10 })
  await refused(post(handler, signed.url, { 'Upload-Length': '5' }), 413, /4 bytes/)
  const created = await post(handler, signed.url, { 'Upload-Length': '4' })
  assert.equal(created.headers.get('location'), `${signed.uploadUrl}&more=a+b`)
  assert.deepEqual(seen, ['ann'])
})

test('a limit that a hook tells and that is no number of bytes is a failure of the server', async () => {
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const handler = createTusHandler({ path: '/files', store: memoryStore(), onLimit: () => Number.NaN, onError })
  assert.equal((await post(handler, url, { 'Upload-Length': '5' })).status, 500)
  assert.match(String(errors[0]), /onLimit returned NaN/)
})

test('where access is asked for, a request cannot wait for an upload that is about to be made', async () => {
  // The lock is taken before the upload is there: who waits for it would get at an upload nobody was asked about.
  const store = memoryStore()
  const creating = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const slow: typeof store = {
    ...store,
    async create(upload) {
      creating.resolve()
      await go.promise
      return store.create(upload)
    },
  }
  const onAccess = () => {
    throw new TusError('not_found')
  }
  const handler = createTusHandler({ path: '/files', store: slow, generateId: () => 'known', onAccess })
  const created = post(handler, url, { 'Upload-Length': '5', ...octets }, 'hel')
  await creating.promise
  const early = ['HEAD', 'PATCH', 'DELETE'].map((method) =>
    send(handler, `${url}/known`, method, { ...octets, 'Upload-Offset': '3' }, method === 'PATCH' ? 'XX' : undefined),
  )
  // All that can be answered without the lock has been by then.
  await setTimeout(50)
  go.resolve()
  assert.deepEqual([(await created).status, (await created).headers.get('upload-offset')], [201, '3'])
  for (const answer of await Promise.all(early)) assert.equal(answer.status, 404)
  assert.equal((await store.get('known'))?.offset, 3)
})
