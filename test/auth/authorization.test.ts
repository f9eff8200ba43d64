/** What authorization hands to the other features of the server, and how it compares secrets. */
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { mock, test } from 'node:test'
import { pino } from 'pino'
import { combineHooks } from '../../src/combine.ts'
import { createTusHandler } from '../../src/handler.ts'
import { openAuthorization } from '../../src/node/auth/authorization.ts'
import { createTokenCheck } from '../../src/node/auth/tokens.ts'
import { readCommandLine } from '../../src/node/config.ts'
import type { RequestContext } from '../../src/node/features.ts'
import { createSigner } from '../../src/signed-urls.ts'
import { memoryStore } from '../../src/stores/memory.ts'
import { fromNow, octets, secret, token, tus, urlSecret } from './support.ts'

const url = 'http://up.example/files'
const silent = pino({ level: 'silent' })

test('hooks of other features see the claims of tokens and of signed URLs, verified, through an upload’s life', async () => {
  const { config } = readCommandLine([], {
    FILELOFT_AUTH_JWT_SECRET: secret,
    FILELOFT_AUTH_URL_SECRET: urlSecret,
    FILELOFT_AUTH_TOKENS: 'a-token-of-the-backend',
  })
  const seen: [string, unknown][] = []
  const note = (name: string) => (event: { context: RequestContext | undefined }) =>
    void seen.push([name, event.context?.claims?.['sub']])
  const feature = openAuthorization(config, silent)
  const handler = createTusHandler({
    path: '/files',
    store: memoryStore(),
    ...combineHooks<RequestContext>([
      feature?.hooks ?? {},
      { onCreate: note('create'), onCreated: note('created'), onFinish: note('finish'), onTerminated: note('end') },
    ]),
  })
  const send = (to: string, method: string, headers: Record<string, string>, body?: string) =>
    handler(new Request(to, { method, headers: { ...tus, ...headers }, ...(body !== undefined && { body }) }))
  const signed = await createSigner({ secret: urlSecret, url }).signCreation({
    claims: { sub: 'ann' },
    operations: ['terminate'],
  })
  assert.equal((await send(signed.url, 'POST', { ...octets, 'Upload-Length': '5' }, 'hello')).status, 201)
  assert.equal((await send(signed.uploadUrl, 'DELETE', {})).status, 204)
  const bob = { Authorization: `Bearer ${token({ sub: 'bob', exp: fromNow(60) })}` }
  assert.equal((await send(url, 'POST', { ...bob, 'Upload-Length': '5' })).status, 201)
  const backend = { Authorization: 'Bearer a-token-of-the-backend' }
  assert.equal((await send(url, 'POST', { ...backend, 'Upload-Length': '5' })).status, 201)
  assert.equal((await send(url, 'POST', { 'Upload-Length': '5' })).status, 401)
  assert.deepEqual(seen, [
    ...['create', 'created', 'finish', 'end'].map((name) => [name, 'ann']),
    ...['create', 'created'].map((name) => [name, 'bob']),
    ...['create', 'created'].map((name) => [name, undefined]),
  ])
})

test('without settings of authorization there are no hooks, which would cost every request something', () => {
  assert.equal(openAuthorization(readCommandLine([], {}).config, silent), null)
})

test('static tokens are compared in constant time, all of them, whichever is right', () => {
  const compare = mock.method(crypto, 'timingSafeEqual')
  syncBuiltinESMExports()
  try {
    const isKnown = createTokenCheck(['first-token-0123456789', 'second-token-0123456789', 'third'])
    for (const [given, expected] of [
      ['first-token-0123456789', true],
      ['third', true],
      ['first-token-012345678', false],
      ['', false],
      ['x'.repeat(10_000), false],
    ] as const) {
      const before = compare.mock.callCount()
      assert.equal(isKnown(given), expected)
      assert.equal(compare.mock.callCount() - before, 3)
    }
  } finally {
    compare.mock.restore()
    syncBuiltinESMExports()
  }
})
