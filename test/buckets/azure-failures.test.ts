/** What the Azure driver makes of answers that Azurite never gives, from a server of the test's own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as nodeTest } from 'node:test'
import { ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob'
import { createdAt, multipartOf, newBlockId, newMultipartId } from '../../src/buckets/azure-blocks.ts'
import { toStoreError } from '../../src/buckets/azure-errors.ts'
import { blobName, blobPrefix, keyOfBlob } from '../../src/buckets/azure-names.ts'
import { azureBucket, type AzureBucketOptions } from '../../src/buckets/azure.ts'
import type { Bucket } from '../../src/objects/bucket.ts'
import { azureStore } from '../../src/stores/azure.ts'
import { makeCertificate } from '../cli-support.ts'
import { bytesOf, random } from '../suites/bodies.ts'
import { failure, gather, listing, options } from './suite-support.ts'

/** A driver that repeats what fails is slow. */
const test = (title: string, run: () => void | Promise<void>) => nodeTest(title, { timeout: 5_000 }, run)

const secret = btoa('a secret that no message may show'.repeat(2))
const sharedKey = new StorageSharedKeyCredential('account', secret)
const multipart = { key: 'key', multipartId: newMultipartId() }

const calls: Record<string, (bucket: Bucket) => Promise<unknown>> = {
  get: (bucket) => bucket.get('key', null, options),
  read: (bucket) => gather(bucket.read('key', { start: 0, end: 10 }, options)),
  head: (bucket) => bucket.head('key', options),
  put: (bucket) => bucket.put('key', bytesOf(10), { ifMatch: '"0x1"' }, options),
  delete: (bucket) => bucket.delete('key', options),
  list: (bucket) => listing(bucket, ''),
  putPart: (bucket) => bucket.putPart(multipart, 1, bytesOf(10), options),
  copyPart: (bucket) => bucket.copyPart!(multipart, 1, { key: 'source', range: { start: 0, end: 10 } }, options),
  complete: (bucket) => bucket.complete(multipart, [{ partNumber: 1, etag: 'x', size: 1 }], {}, options),
  abort: (bucket) => bucket.abort(multipart, options),
  multiparts: (bucket) => gather(bucket.multiparts('', options)),
}

interface Served extends AsyncDisposable {
  readonly bucket: Bucket
  readonly origin: string
  readonly requests: IncomingMessage[]
}

async function serve(answer: RequestListener): Promise<Served> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    request.resume().on('end', () => answer(request, response))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const bucket = azureBucket({ container: 'container', endpoint: `${origin}/account`, credential: sharedKey })
  return {
    bucket,
    origin,
    requests,
    [Symbol.asyncDispose]: () => close(server),
  }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
}

function refuse(response: ServerResponse, status: number, code: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/xml', 'x-ms-error-code': code, ...headers })
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>Signature ${secret}</Message></Error>`)
}

for (const [status, code, outcome] of [
  [408, 'RequestTimeout', 'unavailable true'],
  [429, 'TooManyRequests', 'unavailable true'],
  [500, 'InternalError', 'unavailable true'],
  [500, 'OperationTimedOut', 'unavailable true'],
  [502, 'BadGateway', 'unavailable true'],
  [503, 'ServerBusy', 'unavailable true'],
  [504, 'GatewayTimeout', 'unavailable true'],
  [400, 'InvalidHeaderValue', 'unavailable false'],
  [401, 'InvalidAuthenticationInfo', 'unavailable false'],
  [403, 'AuthorizationPermissionMismatch', 'unavailable false'],
  [404, 'ContainerNotFound', 'unavailable false'],
  [404, 'ResourceNotFound', 'unavailable false'],
  [409, 'ContainerBeingDeleted', 'unavailable false'],
  [409, 'BlobImmutableDueToPolicy', 'unavailable false'],
  [412, 'LeaseIdMissing', 'unavailable true'],
  [507, 'InsufficientStorage', 'full false'],
] as const) {
  void test(`${status} ${code} to any call: ${outcome.replace(/true|false/, (it) => (it === 'true' ? 'transient' : 'final'))}, asked once, in one line without secrets`, async () => {
    await using served = await serve((_request, response) => refuse(response, status, code))
    for (const [name, call] of Object.entries(calls)) {
      served.requests.length = 0
      const error = await failure(call(served.bucket))
      assert.equal(`${error.code} ${error.transient}`, outcome, `${name}: ${error.message}`)
      assert.match(
        error.message,
        new RegExp(`^azure://account/container/: ${name === 'multiparts' ? 'list' : name} .*: ${status} ${code}: .+`),
        name,
      )
      assert.ok(!error.message.includes('\n') && !error.message.includes(secret.slice(0, 20)), error.message)
      // Whose lease it is has to be looked at; an abort begins with a look.
      const looks = /^(head|abort)$/.test(name)
      assert.equal(served.requests.filter(({ method }) => method !== 'HEAD' || looks).length, 1, `requests for ${name}`)
    }
  })
}

void test('connections that are reset, or refused: transient failures of any call, after one attempt', async () => {
  const served = await serve((request) => request.socket.resetAndDestroy())
  for (const [name, call] of Object.entries(calls)) {
    served.requests.length = 0
    const error = await failure(call(served.bucket))
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true', `${name}: ${error.message}`)
    assert.equal(served.requests.length, 1, `requests for ${name}`)
  }
  await served[Symbol.asyncDispose]()
  const error = await failure(served.bucket.head('key', options))
  assert.equal(`${error.code} ${error.transient}`, 'unavailable true')
  assert.match(error.message, /ECONNREFUSED/)
})

void test('a host without an address: transient; a certificate that is not trusted: final', () => {
  const { signal } = options
  const broken = (code: string) => Object.assign(new Error(`it broke: ${code}`), { name: 'RestError', code })
  for (const code of [
    'ENOTFOUND',
    'EAI_AGAIN',
    'ETIMEDOUT',
    'ECONNRESET',
    'EPIPE',
    'REQUEST_SEND_ERROR',
    'PARSE_ERROR',
  ]) {
    assert.equal(toStoreError(broken(code), 'head', signal).transient, true, code)
  }
  for (const code of [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'CERT_HAS_EXPIRED',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ]) {
    assert.equal(toStoreError(broken(code), 'head', signal).transient, false, code)
  }
})

void test('a download that breaks off, or ends too soon: a transient failure', async () => {
  const headers = { 'content-length': '1000', etag: '"0x1"', 'content-range': 'bytes 0-999/1000' }
  await using served = await serve((request, response) => {
    response.writeHead(206, headers)
    response.write(bytesOf(500), () => request.socket.destroy())
  })
  const get = await failure(served.bucket.get('key', { start: 0, end: 1000 }, options))
  assert.equal(`${get.code} ${get.transient}`, 'unavailable true', get.message)
  const read = await failure(gather(served.bucket.read('key', { start: 0, end: 1000 }, options)))
  assert.equal(`${read.code} ${read.transient}`, 'unavailable true', read.message)
  assert.equal(served.requests.length, 2, 'requests')
})

void test('a listing that is cut short: a failure, no short list', async () => {
  await using served = await serve((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/xml' })
    response.end('<?xml version="1.0"?><EnumerationResults><Blobs><Blob><Name>a</Name><Properties>')
  })
  for (const call of [listing(served.bucket, ''), gather(served.bucket.multiparts('', options))]) {
    const error = await failure(call)
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true', error.message)
  }
})

void test('no answer: the call ends when its signal says so, transient', async () => {
  await using served = await serve(() => {})
  const controller = new AbortController()
  for (const [name, call] of Object.entries({
    head: () => served.bucket.head('key', { signal: controller.signal }),
    putPart: () => served.bucket.putPart(multipart, 1, bytesOf(10), { signal: controller.signal }),
  })) {
    const pending = failure(call())
    setImmediate(() => controller.abort())
    const error = await pending
    assert.equal(`${error.code} ${error.transient}`, 'unavailable true', `${name}: ${error.message}`)
  }
})

void test('check with a clock that is off: says by how much', async () => {
  for (const [ahead, text] of [
    [20, /clock of this machine is 20 minutes ahead: set it/],
    [-61, /clock of this machine is 61 minutes behind: set it/],
  ] as const) {
    const date = new Date(Date.now() - ahead * 60_000).toUTCString()
    await using served = await serve((_request, response) => refuse(response, 403, 'AuthenticationFailed', { date }))
    const error = await failure(served.bucket.check(options))
    assert.match(error.message, text)
    assert.equal(error.transient, false)
  }
})

void test('check of a server that ignores conditions: says so, and removes what it wrote', async () => {
  await using served = await serve((request, response) => {
    response.writeHead(request.method === 'DELETE' ? 202 : 201, { etag: '"0x1"' }).end()
  })
  const error = await failure(served.bucket.check(options))
  assert.match(error.message, /does not honour conditional writes/)
  assert.equal(served.requests.at(-1)?.method, 'DELETE')
})

void test('check where a credential gives no token: says so', async () => {
  const credential = {
    getToken: () =>
      Promise.reject(Object.assign(new Error('No identity here\nat all'), { name: 'CredentialUnavailableError' })),
  }
  const error = await failure(azureBucket({ container: 'container', account: 'account', credential }).check(options))
  assert.match(error.message, /: CredentialUnavailableError: the credential gave no token$/)
  assert.equal(`${error.code} ${error.transient}`, 'unavailable false')
})

void test('an identity: its token goes with each call, and is asked for once to copy from another blob', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fileloft-azure-'))
  const { cert, key } = makeCertificate(folder, 'azure')
  const requests: IncomingMessage[] = []
  const tls = { cert: readFileSync(cert), key: readFileSync(key) }
  rmSync(folder, { recursive: true })
  const server = createTlsServer(tls, (request, response) => {
    requests.push(request)
    request.resume().on('end', () => response.writeHead(201).end())
  }).listen(0, '127.0.0.1')
  await using _ = { [Symbol.asyncDispose]: () => close(server) }
  await once(server, 'listening')
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  let asked = 0
  const credential = {
    getToken: async () => ({ token: `token-${++asked}`, expiresOnTimestamp: Date.now() + 3_600_000 }),
  }
  const settings = { tlsOptions: { ca: tls.cert }, retryOptions: { maxTries: 1 } }
  const bucket = azureBucket({ container: new ContainerClient(`${origin}/account/container`, credential, settings) })
  for (const partNumber of [1, 2]) {
    await bucket.copyPart!(multipart, partNumber, { key: 'a +', range: { start: 5, end: 10 } }, options)
  }
  assert.equal(requests.length, 2)
  for (const { headers } of requests) {
    assert.match(headers.authorization ?? '', /^Bearer token-\d$/)
    assert.match(String(headers['x-ms-copy-source-authorization']), /^Bearer token-1$/)
    assert.equal(headers['x-ms-copy-source'], `${origin}/account/container/a%20%2B`)
    assert.equal(headers['x-ms-source-range'], 'bytes=5-9')
  }
  assert.ok(asked <= 2, `asked ${asked} times`)
})

void test('copyPart where the service cannot read the source itself: the bytes pass through', async () => {
  const sent: string[] = []
  await using served = await serve((request, response) => {
    if (request.method === 'GET') {
      response.writeHead(206, { 'content-length': '5', etag: '"0x1"', 'content-range': 'bytes 5-9/100' }).end('56789')
    } else if (request.headers['x-ms-copy-source'] !== undefined) refuse(response, 403, 'CannotVerifyCopySource')
    else {
      sent.push(`${request.method} ${request.headers['content-length']}`)
      response.writeHead(201).end()
    }
  })
  const source = { key: 'source', range: { start: 5, end: 10 } }
  assert.ok((await served.bucket.copyPart!(multipart, 1, source, options)) !== null)
  assert.deepEqual(sent, ['PUT 5'])
})

void test('a container without a key, an identity or a SAS: no copyPart', () => {
  const bucket = azureBucket({ container: new ContainerClient('https://account.blob.core.windows.net/container') })
  assert.ok(!('copyPart' in bucket))
})

void test('options that cannot be: a TypeError that says which, without secrets', () => {
  const account = 'account'
  const token = { getToken: () => Promise.resolve(null) }
  const client = new ContainerClient('https://account.blob.core.windows.net/container')
  for (const [given, message] of [
    [{ container: 'Upper', account, credential: token }, /"Upper" is not the name of a container/],
    [{ container: 'a/b', account, credential: token }, /"a\/b" is not the name of a container/],
    [{ container: 'uploads' }, /give a connectionString, an account or an endpoint/],
    [{ container: 'uploads', account }, /need a credential, such as new DefaultAzureCredential/],
    [{ container: 'uploads', account: 'a.b/c', credential: token }, /"a.b\/c" is not the name of a storage account/],
    [{ container: 'uploads', endpoint: 'account', credential: token }, /endpoint must be an http or https URL/],
    [{ container: 'uploads', endpoint: 'http://127.0.0.1', credential: token }, /token credential needs an https/],
    [{ container: 'uploads', connectionString: `AccountKey=${secret}` }, /connection string cannot be used/],
    [{ container: 'uploads', connectionString: 'x', account }, /connection string needs no account/],
    [{ container: client, account }, /container client needs no/],
    [{ container: client, prefix: 'a\nb' }, /prefix must be printable/],
  ] as [AzureBucketOptions, RegExp][]) {
    assert.throws(
      () => azureStore(given),
      (error: Error) => error instanceof TypeError && message.test(error.message) && !error.message.includes(secret),
      String(message),
    )
  }
  assert.ok(azureStore({ container: 'uploads', account, credential: token }))
  assert.ok(azureStore({ container: '$web', endpoint: 'https://example.com/?sv=1&sig=x' }))
})

void test('names of blobs: distinct where Azure would take keys for the same, and back again', () => {
  for (const [key, name] of [
    ['a/b c', 'a/b c'],
    ['a.b/c', 'a.b/c'],
    ['a.', 'a%2E'],
    ['a../b...', 'a.%2E/b..%2E'],
    ['./../.a', '%2E/.%2E/.a'],
    ['a\\b', 'a%5Cb'],
    ['a%2E', 'a%252E'],
    ['%5C%25%C3%BC%', '%255C%2525%C3%BC%'],
  ] as const) {
    assert.equal(blobName(key), name)
    assert.equal(keyOfBlob(name), key)
  }
  const below = random(7)
  const signs = ['.', '/', '\\', '%', '2', '5', 'E', 'C', 'a']
  const seen = new Map<string, string>()
  for (let i = 0; i < 20_000; i++) {
    const key = Array.from({ length: 1 + below(8) }, () => signs[below(signs.length)]).join('')
    const name = blobName(key)
    assert.equal(keyOfBlob(name), key)
    assert.ok(!/\\|\.(\/|$)/.test(name), name)
    assert.equal(seen.get(name) ?? key, key)
    seen.set(name, key)
    const prefix = key.slice(0, below(key.length + 1))
    assert.ok(name.startsWith(blobPrefix(prefix)), `${prefix} of ${key}: ${blobPrefix(prefix)} of ${name}`)
  }
})

void test('names of blocks: of one width, never the same, with the multipart and its time in them', () => {
  const id = newMultipartId()
  assert.ok(Math.abs(createdAt(id) - Date.now()) < 10_000)
  const blocks = [1, 99, 50_000, 50_000].map((partNumber) => newBlockId(id, partNumber))
  assert.equal(new Set(blocks).size, 4)
  for (const block of blocks) {
    assert.match(block, /^[A-Za-z0-9]{48}$/)
    assert.equal(multipartOf(block), id)
  }
  for (const foreign of ['', 'MDAwMQ==', '%', btoa(crypto.randomUUID())]) assert.equal(multipartOf(foreign), null)
  assert.throws(() => newBlockId('other', 1), { code: 'corrupt' })
})
