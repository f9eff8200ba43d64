/** What the driver sends, and what it makes of answers that an emulator does not give. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { Storage } from '@google-cloud/storage'
import { gcsBucket } from '../../src/buckets/gcs.ts'
import type { Bucket } from '../../src/objects/bucket.ts'
import { refusal, scripted, type Script } from './gcs-scripted.ts'
import { collect, failure, gather, options } from './suite-support.ts'

const multipart = { key: 'key', multipartId: 'm' }
const stored = [200, { size: '1', generation: '7' }] as const
const bytes = new Uint8Array(1)

/** The driver on a service that answers everything like this. */
async function on(script: Script) {
  const server = await scripted(script)
  return { ...server, bucket: gcsBucket({ endpoint: server.endpoint, bucket: 'uploads', prefix: 'p/' }) }
}

const calls: Readonly<Record<string, (bucket: Bucket) => Promise<unknown>>> = {
  get: (bucket) => bucket.get('key', null, options),
  read: (bucket) => collect(bucket.read('key', { start: 0, end: 10 }, options)),
  head: (bucket) => bucket.head('key', options),
  put: (bucket) => bucket.put('key', bytes, { ifNoneMatch: '*' }, options),
  delete: (bucket) => bucket.delete('key', options),
  list: (bucket) => gather(bucket.list('', options)),
  putPart: (bucket) => bucket.putPart(multipart, 1, bytes, options),
  copyPart: (bucket) => bucket.copyPart!(multipart, 1, { key: 'source', range: { start: 0, end: 1 } }, options),
  complete: (bucket) => bucket.complete(multipart, [{ partNumber: 1, etag: 'e', size: 1 }], {}, options),
  abort: (bucket) => bucket.abort(multipart, options),
  multiparts: (bucket) => gather(bucket.multiparts('', options)),
  check: (bucket) => bucket.check(options),
}

for (const [answer, [status, reason], wanted] of [
  ['429', [429, 'rateLimitExceeded'], 'unavailable true'],
  ['503', [503, 'backendError'], 'unavailable true'],
  ['403 that asks for a pause', [403, 'userRateLimitExceeded'], 'unavailable true'],
  ['403', [403, 'forbidden'], 'unavailable false'],
  ['401', [401, 'authError'], 'unavailable false'],
  ['400', [400, 'invalid'], 'unavailable false'],
  ['403 for a quota', [403, 'quotaExceeded'], 'full false'],
] as const) {
  test(`every call, answered ${answer}: ${wanted}, asked once`, async () => {
    for (const [name, make] of Object.entries(calls)) {
      await using server = await on(() => refusal(status, reason, 'what the service says'))
      const error = await failure(make(server.bucket))
      assert.equal(`${error.code} ${error.transient}`, wanted, `${name}: ${error.message}`)
      assert.match(error.message, new RegExp(`^gs://uploads/p/: .*${status} ${reason} what the service says`), name)
      assert.equal(server.asked.length, 1, `${name}: requests`)
    }
  })
}

test('every call, 500: transient, and a compose has asked what is there before', async () => {
  for (const [name, make] of Object.entries(calls)) {
    await using server = await on(({ url, method }) => {
      if (method === 'GET' && url.includes('prefix=p/.parts/key/'))
        return [200, { items: [{ name: 'p/.parts/key/m/00001-e' }] }]
      if (method === 'GET' && url.includes('/p/source')) return stored
      return refusal(500, 'internalError', 'We encountered an internal error')
    })
    const error = await failure(make(server.bucket))
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true', `${name}: ${error.message}`)
  }
})

test('every call, nobody listens or the connection is reset: transient', async () => {
  const gone = await scripted(() => [200])
  await gone[Symbol.asyncDispose]()
  for (const [name, make] of Object.entries(calls)) {
    const refused = await failure(make(gcsBucket({ endpoint: gone.endpoint, bucket: 'uploads' })))
    assert.equal(`${refused.code} ${refused.transient}`, 'unavailable true', `${name}: ${refused.message}`)
    await using server = await on((_, response) => void response.socket?.destroy())
    const reset = await failure(make(server.bucket))
    assert.equal(`${reset.code} ${reset.transient}`, 'unavailable true', `${name}: ${reset.message}`)
  }
})

test('every call, the bucket is not there: a failure that says so, never null', async () => {
  for (const [name, make] of Object.entries(calls)) {
    await using server = await on(() => refusal(404, 'notFound', 'The specified bucket does not exist.'))
    const error = await failure(make(server.bucket))
    assert.equal(`${error.code} ${error.transient}`, 'unavailable false', `${name}: ${error.message}`)
    assert.match(error.message, /The specified bucket does not exist\.: check the name of the bucket/, name)
  }
})

test('check without permission: the message names bucket, permission and role', async () => {
  const said =
    'up@x.iam.gserviceaccount.com does not have storage.objects.create access to the Google Cloud Storage object.'
  await using server = await on(() => refusal(403, 'forbidden', said))
  const { message } = await failure(server.bucket.check(options))
  assert.equal(
    message,
    `gs://uploads/p/: check: 403 forbidden ${said}: grant the account roles/storage.objectUser on the bucket`,
  )
})

test('check, conditional writes are not honoured: says so, and removes the probe', async () => {
  await using server = await on(() => stored)
  const error = await failure(server.bucket.check(options))
  assert.match(error.message, /check: conditional writes are not honoured/)
  assert.equal(error.transient, false)
  assert.equal(server.asked.at(-1)?.method, 'DELETE')
})

test('check, the removal of the probe comes too soon for the service: fine', async () => {
  let puts = 0
  let probe = ''
  await using server = await on(({ method, url }) => {
    probe ||= /p\/\.probe-[^&]+/.exec(url)?.[0] ?? ''
    if (method === 'DELETE') return refusal(429, 'rateLimitExceeded', 'too often')
    if (method === 'POST') return ++puts === 1 ? stored : refusal(412, 'conditionNotMet', 'not met')
    return url.includes('prefix=') ? [200, { items: [{ name: probe }] }] : stored
  })
  await server.bucket.check(options)
})

test('a bucket with a retention policy: the message says that it cannot be used', async () => {
  await using server = await on(() => refusal(403, 'retentionPolicyNotMet', 'Object is under retention'))
  const { message } = await failure(server.bucket.put('key', bytes, {}, options))
  assert.match(message, /the bucket must not retain objects/)
})

test('putPart, the service stored fewer bytes than were sent: transient', async () => {
  await using server = await on(() => [200, { size: '1', generation: '7' }])
  const error = await failure(server.bucket.putPart(multipart, 1, new Uint8Array(2), options))
  assert.equal(`${error.code} ${error.transient}`, 'unavailable true', error.message)
})

test('an answer that is not JSON: transient', async () => {
  await using server = await on(() => [200, '<html>proxy</html>'])
  const error = await failure(server.bucket.head('key', options))
  assert.equal(`${error.code} ${error.transient}`, 'unavailable true', error.message)
})

test('get and read, the answer breaks off: transient, never a short success', async () => {
  await using server = await on((_, response) => {
    response.writeHead(200, { 'content-length': '100', 'x-goog-generation': '7' })
    response.write('part', () => response.destroy())
  })
  for (const make of [calls['get']!, calls['read']!]) {
    const error = await failure(make(server.bucket))
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true', error.message)
  }
})

test('put, refused before its body was read: the refusal counts, and the connection is given up', async () => {
  const ended = Promise.withResolvers<string>()
  const server = createServer((request, response) => {
    request.socket.on('close', () => ended.resolve('given up'))
    request.on('end', () => ended.resolve('sent to its end'))
    response.writeHead(403).end('no')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const bucket = gcsBucket({ endpoint: `http://127.0.0.1:${port}`, bucket: 'uploads' })
    const error = await failure(bucket.put('key', new Uint8Array(64 << 20), {}, options))
    assert.match(error.message, /403 no/)
    assert.equal(await ended.promise, 'given up')
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

test('abort, one delete of a batch fails: fails as that one did', async () => {
  for (const [status, transient] of [
    [503, true],
    [403, false],
  ] as const) {
    await using server = await on(({ method }) => {
      if (method === 'GET') return [200, { items: [{ name: 'p/.parts/key/m/1' }, { name: 'p/.parts/key/m/2' }] }]
      return [200, `--b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n--b\r\n\r\nHTTP/1.1 ${status} Failed\r\n\r\n--b--`]
    })
    const error = await failure(server.bucket.abort(multipart, options))
    assert.equal(`${error.code} ${error.transient}`, `unavailable ${transient}`, error.message)
  }
})

test('abort, a batch is answered in part: transient', async () => {
  await using server = await on(({ method }) => {
    if (method === 'GET') return [200, { items: [{ name: 'p/.parts/key/m/1' }, { name: 'p/.parts/key/m/2' }] }]
    return [200, '--b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n--b--']
  })
  const error = await failure(server.bucket.abort(multipart, options))
  assert.equal(`${error.code} ${error.transient}`, 'unavailable true', error.message)
})

test('abort of 250 parts: three batches; one by one where the service knows no batches', async () => {
  const items = Array.from({ length: 250 }, (_, n) => ({ name: `p/.parts/key/m/${n}` }))
  for (const batches of [true, false]) {
    await using server = await on(({ method, body }) => {
      if (method === 'GET') return [200, { items }]
      if (method === 'DELETE') return [204]
      if (!batches) return [404, 'Not Found']
      return [200, body.replaceAll(/^DELETE .*$/gm, 'HTTP/1.1 204 No Content')]
    })
    await server.bucket.abort(multipart, options)
    assert.equal(server.asked.filter(({ method }) => method === 'POST').length, 3)
    const removed = server.asked.flatMap(({ method, url, body }) =>
      method === 'DELETE'
        ? [url]
        : Array.from(body.matchAll(/^DELETE (\S+) HTTP/gm), ([, path = '']) => decodeURIComponent(path)),
    )
    const wanted = items.map(({ name }) => `/storage/v1/b/uploads/o/${name}`)
    assert.deepEqual([...new Set(removed)].toSorted(), wanted.toSorted())
  }
})

test('list and multiparts over several pages: all of them, a multipart that spans two once, by its oldest part', async () => {
  const pages: Record<string, unknown> = {
    first: { items: [part('one/m/1', 5), part('two/m/1', 9)], nextPageToken: 'second +/=' },
    'second +/=': { nextPageToken: 'third' },
    third: { items: [part('two/m/2', 3), part('two/m/3', 8), part('two/n/1', 7)] },
  }
  await using server = await on(({ url }) => [200, pages[/pageToken=(.*)/.exec(url)?.[1] ?? 'first']])
  assert.deepEqual(await gather(server.bucket.multiparts('', options)), [
    { key: 'one', multipartId: 'm', createdAt: 5 },
    { key: 'two', multipartId: 'm', createdAt: 3 },
    { key: 'two', multipartId: 'n', createdAt: 7 },
  ])
  assert.equal(server.asked.length, 3)
  // What is a part is no object.
  assert.deepEqual(await gather(server.bucket.list('', options)), [])
})

function part(name: string, at: number) {
  return { name: `p/.parts/${name}`, size: '1', timeCreated: new Date(at).toISOString() }
}

test('complete with empty parts: only what holds bytes is composed; nothing else is an upload of nothing', async () => {
  await using server = await on(({ url }) =>
    url.includes('/upload/') ? [200, { size: '0', generation: '7' }] : stored,
  )
  const parts = [0, 1, 0].map((size, n) => ({ partNumber: n + 1, etag: 'e', size }))
  assert.equal(await server.bucket.complete(multipart, parts, {}, options), 'completed')
  const { sourceObjects } = JSON.parse(server.asked[0]?.body ?? '') as { sourceObjects: unknown }
  assert.deepEqual(sourceObjects, [{ name: 'p/.parts/key/m/00002-e' }])
  server.asked.length = 0
  assert.equal(await server.bucket.complete(multipart, parts.slice(0, 1), {}, options), 'completed')
  assert.match(server.asked[0]?.url ?? '', /^\/upload\/.*&name=p\/key$/)
})

test('complete, the parts cannot be removed: completed', async () => {
  await using server = await on(({ url }) => (url.includes('/compose') ? stored : refusal(503, 'backendError', 'no')))
  assert.equal(await calls['complete']!(server.bucket), 'completed')
})

test('complete, the object comes out with the wrong size: invalid, and that object alone is removed', async () => {
  await using server = await on(() => [200, { size: '5', generation: '7' }])
  assert.equal(await calls['complete']!(server.bucket), 'invalid')
  const [, removal, ...more] = server.asked
  assert.equal(`${removal?.method} ${removal?.url}`, 'DELETE /storage/v1/b/uploads/o/p/key?generation=7')
  assert.equal(more.length, 0)
})

test('copyPart of a whole object: one compose, no bytes', async () => {
  await using server = await on(() => stored)
  const etag = await calls['copyPart']!(server.bucket)
  assert.deepEqual(
    server.asked.map(({ method, url }) => `${method} ${url}`),
    [`POST /storage/v1/b/uploads/o/p/.parts/key/m/00001-${String(etag)}/compose?fields=size,generation`],
  )
  assert.deepEqual(JSON.parse(server.asked[0]?.body ?? ''), {
    sourceObjects: [{ name: 'p/source' }],
    destination: { contentType: 'application/octet-stream' },
  })
})

test('requests carry an access token where there is a client with credentials, none to an http: endpoint', async () => {
  await using server = await on(() => refusal(404, 'notFound', 'No such object: uploads/p/key'))
  assert.equal(await server.bucket.head('key', options), null)
  assert.equal(await withClient(server.endpoint, async () => token).head('key', options), null)
  assert.deepEqual(
    server.asked.map(({ headers }) => headers.authorization),
    [undefined, 'Bearer secret'],
  )
})

const token = new Headers({ authorization: 'Bearer secret' })

/** A driver whose client gets its tokens like this. */
function withClient(apiEndpoint: string, getRequestHeaders: () => Promise<Headers>): Bucket {
  const authClient = { getRequestHeaders, on: () => undefined } as never
  return gcsBucket({
    bucket: 'uploads',
    storage: new Storage({ apiEndpoint, useAuthWithCustomEndpoint: true, authClient }),
  })
}

/** As the auth library fails: with the whole request in the error. */
function authFailure(status: number, description: string): Error {
  const data = { error: 'invalid_grant', error_description: description }
  return Object.assign(new Error('invalid_grant'), { response: { status, data }, config: { data: 'signed secret' } })
}

test('no access token: the message says why and what to do, without what the request held', async () => {
  const jwt =
    'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.'
  for (const [error, said, transient] of [
    [authFailure(400, jwt), /short-lived.*: set this machine's clock right$/, false],
    [authFailure(400, 'Invalid JWT Signature.'), /Invalid JWT Signature\.: check the credentials/, false],
    [authFailure(503, 'try again'), /try again$/, true],
    [
      new Error('Could not load the default credentials. Browse to https://x'),
      /set GOOGLE_APPLICATION_CREDENTIALS/,
      false,
    ],
    [Object.assign(new Error('getaddrinfo EAI_AGAIN oauth2'), { code: 'EAI_AGAIN' }), /EAI_AGAIN/, true],
  ] as const) {
    await using server = await scripted(() => [200])
    const found = await failure(withClient(server.endpoint, () => Promise.reject(error)).check(options))
    assert.equal(`${found.code} ${found.transient}`, `unavailable ${transient}`, found.message)
    assert.match(found.message, /^gs:\/\/uploads\/: no access token: /)
    assert.match(found.message, said)
    assert.equal(found.cause, undefined)
    assert.equal(server.asked.length, 0)
  }
})

test('a key file that is not there, a key that is none: the message says so', async () => {
  const missing = gcsBucket({ bucket: 'uploads', keyFilename: '/nowhere/key.json' })
  assert.match((await failure(missing.check(options))).message, /\/nowhere\/key\.json.*: the key file cannot be read$/)
  const credentials = { client_email: 'a@b', private_key: 'not-a-key' }
  const error = await failure(gcsBucket({ bucket: 'uploads', credentials }).check(options))
  assert.match(error.message, /no access token: .*: check the credentials/)
  assert.doesNotMatch(error.message, /not-a-key/)
  assert.equal(error.transient, false)
})

test('a call that is aborted while its access token is on the way: ends at once, sends nothing', async () => {
  await using server = await scripted(() => [200])
  const controller = new AbortController()
  const pending = failure(
    withClient(server.endpoint, () => new Promise(() => {})).head('key', { signal: controller.signal }),
  )
  controller.abort()
  const error = await pending
  assert.equal(`${error.code} ${error.transient}`, 'unavailable true')
  assert.equal(server.asked.length, 0)
})

test('options that are not usable: TypeError', () => {
  assert.throws(() => gcsBucket({ bucket: '' }), TypeError)
  assert.throws(() => gcsBucket({ bucket: 'gs://uploads' }), TypeError)
  assert.throws(() => gcsBucket({ bucket: 'uploads', prefix: 'a\nb' }), TypeError)
  assert.throws(() => gcsBucket({ bucket: 'uploads', endpoint: 'localhost:4443' }), TypeError)
})
