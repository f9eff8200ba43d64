/** What an event tells of its request's headers: over HTTP/2, and without credentials where it is kept. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { test } from 'node:test'
import { rawClient } from '../node-support.ts'
import { startServer } from '../support/server.ts'
import { create, metadata } from './client.ts'
import { startReceiver } from './receiver.ts'

test('a POST over HTTP/2: hooks find the host where HTTP/1 has it', async () => {
  await using receiver = await startReceiver()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_ENABLE_H2C: 'true' }
  await using server = await startServer({ env })
  const session = connect(server.origin)
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': new URL(server.url).pathname,
      ':authority': 'uploads.example.com:8443',
      'tus-resumable': '1.0.0',
      'upload-length': '5',
      'upload-metadata': metadata({ filename: 'a' }),
    })
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    assert.equal(headers[':status'], 201)
    await receiver.until(() => receiver.of('post-create').length === 1)
  } finally {
    session.destroy()
  }
  for (const { hook } of receiver.deliveries) {
    const { Header } = hook.Event.HTTPRequest
    assert.deepEqual(Header['Host'], ['uploads.example.com:8443'], hook.Type)
    assert.deepEqual(
      Object.keys(Header).filter((name) => name.startsWith(':')),
      [],
    )
  }
})

const secrets = [
  'Authorization',
  'Proxy-Authorization',
  'X-Auth-Token',
  'X-Authenticated-User',
  'X-Forwarded-Authorization',
  'Cookie',
  'X-Csrf-Token',
  'X-Client-Secret',
  'X-Api-Key',
  'ApiKey',
  'X-Amz-Signature',
  'Cf-Access-Jwt-Assertion',
  'X-Session-Id',
  'X-Password',
]
const harmless = ['Idempotency-Key', 'X-Idempotency-Key', 'X-Author', 'X-Authors-Team', 'X-Tenant']
const addresses = ['Referer', 'X-Original-Url', 'X-Original-Uri', 'X-Original-Path']

test('events that are kept: without what looks like a credential, without the queries of addresses, all else whole', async () => {
  await using receiver = await startReceiver()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_FORWARD_HEADERS: 'X-Session-Id' }
  await using server = await startServer({ env })
  const values = Object.fromEntries([...secrets, ...harmless].map((name) => [name, 'v?q=1']))
  const links = Object.fromEntries(addresses.map((name) => [name, '/files/a?signature=s']))
  await create(`${server.url}?signature=s`, 5, { ...values, ...links })
  await receiver.until(() => receiver.of('post-create').length === 1)

  const [asked] = receiver.of('pre-create')
  const [kept] = receiver.of('post-create')
  const whole = asked!.hook.Event.HTTPRequest
  for (const name of [...secrets, ...harmless]) assert.deepEqual(whole.Header[spelled(name)], ['v?q=1'], name)
  for (const name of addresses) assert.deepEqual(whole.Header[name], ['/files/a?signature=s'], name)
  assert.equal(whole.URI, '/files?signature=s')

  const { URI, Header } = kept!.hook.Event.HTTPRequest
  assert.equal(URI, '/files')
  for (const name of harmless) assert.deepEqual(Header[name], ['v?q=1'], name)
  for (const name of addresses) assert.deepEqual(Header[name], ['/files/a'], name)
  const left = secrets.filter((name) => Header[spelled(name)] !== undefined)
  assert.deepEqual(left, ['X-Session-Id'], 'the one that is forwarded')
})

test('FILELOFT_HOOKS_FORWARD_HEADERS: spelled as it spells them, found however the client does; tusd does so', async () => {
  await using receiver = await startReceiver()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_FORWARD_HEADERS: 'X-tEAM, authorization,X-None' }
  await using server = await startServer({ env })
  await create(server.url, 5, { 'x-Team': 'blue', AUTHORIZATION: 'Bearer t' })
  await receiver.until(() => receiver.of('post-create').length === 1)
  for (const { hook, rawHeaders } of receiver.deliveries) {
    const told = rawHeaders.filter((text, index) => index % 2 === 0 && /^(x-team|authorization|x-none)$/i.test(text))
    assert.deepEqual(told.sort(), ['X-tEAM', 'authorization'], hook.Type)
    assert.equal(rawHeaders[rawHeaders.indexOf('X-tEAM') + 1], 'blue')
    assert.equal(rawHeaders[rawHeaders.indexOf('authorization') + 1], 'Bearer t')
  }
})

test('a header of UTF-8: told as that, forwarded byte by byte', async () => {
  await using receiver = await startReceiver()
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_FORWARD_HEADERS: 'X-Name' }
  await using server = await startServer({ env })
  // Over a socket: `fetch` sends no such values.
  using client = await rawClient(server.port)
  client.socket.write(
    'POST /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\nX-Name: José\r\n\r\n',
  )
  assert.match(await client.until(/\r\n\r\n/), /^HTTP\/1\.1 201 /)
  await receiver.until(() => receiver.of('post-create').length === 1)
  for (const { hook, headers } of receiver.deliveries) {
    assert.deepEqual(hook.Event.HTTPRequest.Header['X-Name'], ['José'], hook.Type)
    assert.equal(Buffer.from(String(headers['x-name']), 'latin1').toString(), 'José', hook.Type)
  }
})

/** As Go writes names. */
function spelled(name: string): string {
  return name.replace(/[^-]+/g, (word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase())
}
