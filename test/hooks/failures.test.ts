/** Receivers that fail: what clients are told of the hooks that decide, and what becomes of events that are kept. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { runCli } from '../cli-support.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { all, create, head, idOf, patch, post, remove, upload } from './client.ts'
import { type Say, startReceiver } from './receiver.ts'

const quick = { FILELOFT_HOOKS_RETRIES: '0', FILELOFT_HOOKS_TIMEOUT: '1' }

const broken: [what: string, answer: Say, reason: RegExp][] = [
  ['an error', 500, /it answered 500/],
  ['a redirect', 302, /it answered 302/],
  ['a refusal that is no answer', 403, /it answered 403/],
  ['no answer in time', 'nothing', /no answer within 1 s/],
  ['a web page', { raw: '<html>', type: 'text/html' }, /Content-Type text\/html instead of application\/json/],
  ['what is no JSON', { raw: '{"RejectUpload": tru', type: 'application/json' }, /its answer is not JSON/],
  ['JSON that is no answer', { raw: '[]', type: 'application/json' }, /its answer makes no sense/],
  ['a field of another type', { RejectUpload: 'yes' }, /makes no sense: RejectUpload/],
  ['more than 64 KiB', { HTTPResponse: { Body: 'x'.repeat(70_000) } }, /more than 65536 bytes/],
  ['a status that no upload has', { HTTPResponse: { StatusCode: 103 } }, /StatusCode 103/],
  ['an id that cannot be', { ChangeFileInfo: { ID: '../etc' } }, /no valid id/],
]

test('pre-create, a receiver that fails: 500 without details, the reason in the log, nothing stored', async () => {
  let answer: Say = {}
  await using receiver = await startReceiver(() => answer)
  await using server = await startServer({ env: { ...quick, FILELOFT_HOOKS_URL: receiver.url } })
  for (const [what, say, reason] of broken) {
    answer = say
    const response = await post(server.url, { 'Upload-Length': '5' })
    assert.deepEqual([response.status, await response.text()], [500, 'Internal error\n'], what)
    await server.logged(({ err }) => reason.test(JSON.stringify(err ?? '')))
  }
  await receiver.down()
  assert.equal((await post(server.url, { 'Upload-Length': '5' })).status, 500)
  await server.logged(({ err }) => /pre-create at .* cannot be reached: ECONNREFUSED/.test(JSON.stringify(err ?? '')))
  assert.deepEqual(
    readdirSync(server.dataDir).filter((name) => !name.startsWith('.')),
    [],
  )
})

test('a receiver that fails in passing is asked again, with the same id, and the client notices nothing', async () => {
  const answers: Say[] = [503, 429, { RejectUpload: false }]
  await using receiver = await startReceiver(({ Type }) => (Type === 'pre-create' ? answers.shift() : undefined) ?? {})
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url } })
  await create(server.url, 5)
  const ids = receiver.of('pre-create').map(({ hook }) => hook.EventID)
  assert.equal(ids.length, 3)
  assert.equal(new Set(ids).size, 1)
})

test('pre-finish that fails: 500, then 423 for HEAD, and an empty PATCH or a HEAD completes the upload later', async () => {
  let works = false
  await using receiver = await startReceiver(({ Type }) => (Type === 'pre-finish' && !works ? 'nothing' : {}))
  await using server = await startServer({
    env: { ...quick, FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all },
  })
  const [one, two] = [await create(server.url, 5), await create(server.url, 5)]
  for (const location of [one, two]) assert.equal((await patch(location, 0, 'hello')).status, 500)
  assert.equal((await head(one)).status, 423)
  assert.equal((await patch(two, 5, '')).status, 500)
  assert.deepEqual(receiver.of('post-finish'), [])
  works = true
  const told = await head(one)
  assert.deepEqual([told.status, told.headers.get('upload-offset')], [200, '5'])
  assert.equal((await patch(two, 5, '')).status, 204)
  await receiver.until(() => receiver.of('post-finish').length === 2)
  // The event is the same each time.
  const ids = receiver.of('pre-finish').map(({ hook }) => hook.EventID)
  assert.equal(new Set(ids).size, 2)
})

test('pre-terminate that fails: 500, and the upload stays', async () => {
  await using receiver = await startReceiver(({ Type }) => (Type === 'pre-terminate' ? 500 : {}))
  await using server = await startServer({
    env: { ...quick, FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all },
  })
  const location = await create(server.url, 5)
  assert.equal((await remove(location)).status, 500)
  assert.equal((await head(location)).status, 200)
})

test('a receiver that was down for a while hears of everything once it is back, in order for each upload', async () => {
  await using receiver = await startReceiver()
  await using server = await startServer({
    env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: 'post-create,post-finish,post-terminate' },
  })
  await receiver.down()
  const locations = await Promise.all(Array.from({ length: 5 }, () => upload(server.url, 'hello')))
  for (const location of locations.slice(0, 2)) assert.equal((await remove(location)).status, 204)
  await server.logged(({ msg, reason }) => msg === 'hook not delivered' && /ECONNREFUSED/.test(String(reason)))
  await receiver.up()
  await receiver.until(() => receiver.taken.length === 12)
  for (const [index, location] of locations.entries()) {
    const own = receiver.taken.filter(({ hook }) => hook.Event.Upload.ID === idOf(location))
    const types = own.map(({ hook }) => hook.Type)
    assert.deepEqual(types, ['post-create', 'post-finish', ...(index < 2 ? ['post-terminate'] : [])])
  }
  await emptied(server, 'waiting')
})

test('after the last try an event is dead: it is listed, keeps nothing else from being sent, and can be replayed', async () => {
  let answer: Say = 500
  const secret = `whsec_${Buffer.from('x'.repeat(32)).toString('base64')}`
  await using receiver = await startReceiver(({ Type }) => (Type === 'post-create' ? answer : {}))
  const env = {
    FILELOFT_HOOKS_URL: receiver.url,
    FILELOFT_HOOKS_RETRIES: '1',
    FILELOFT_HOOKS_GIVE_UP_AFTER: '0',
    FILELOFT_HOOKS_SECRET: secret,
  }
  await using server = await startServer({ env })
  const location = await upload(server.url, 'hello')
  const { event } = await server.logged(({ msg }) => String(msg).startsWith('hook given up'))
  await receiver.until(() => receiver.of('post-finish').length === 1)
  assert.equal(receiver.of('post-create').length, 2)

  const settings = { ...env, FILELOFT_DATA_DIR: server.dataDir }
  await emptied(server, 'waiting')
  const listed = await runCli(['hooks'], settings)
  assert.equal(listed.code, 0, listed.stderr)
  assert.match(listed.stdout, new RegExp(`^dead +${String(event)}  since \\S+, 2 tries: it answered 500$`, 'm'))
  assert.match(listed.stdout, /^0 waiting, 1 dead$/m)

  const failed = await runCli(['hooks', 'replay', String(event), 'nonsense'], settings)
  assert.equal(failed.code, 1)
  assert.match(failed.stdout, new RegExp(`^failed +${String(event)}: it answered 500$`, 'm'))
  assert.match(failed.stdout, /^unknown +nonsense: no such event is dead$/m)
  assert.match(failed.stdout, /^0 delivered, 1 failed, 1 unknown$/m)

  answer = {}
  const replayed = await runCli(['hooks', 'replay', '--all'], settings)
  assert.deepEqual([replayed.code, replayed.stdout], [0, `delivered  ${String(event)}\n1 delivered, 0 failed\n`])
  const last = receiver.of('post-create').at(-1)!
  assert.deepEqual([last.hook.EventID, last.hook.Event.Upload.ID], [event, idOf(location)])
  assert.deepEqual(new Webhook(secret).verify(last.raw, last.headers as Record<string, string>), last.hook)
  assert.equal((await runCli(['hooks'], settings)).stdout, '0 waiting, 0 dead\n')
})

test('a receiver that leaves a kept event without an answer: sent again after the timeout, with the same id', async () => {
  const answers: Say[] = ['nothing']
  await using receiver = await startReceiver(() => answers.shift() ?? {})
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: 'post-finish', FILELOFT_HOOKS_TIMEOUT: '1' }
  await using server = await startServer({ env })
  const since = performance.now()
  await upload(server.url, 'hello')
  assert.ok(performance.now() - since < 1000, 'the client has waited for it')
  await receiver.until(() => receiver.taken.length === 1)
  assert.ok(performance.now() - since > 1000, 'it was sent again before the timeout')
  const ids = receiver.deliveries.map(({ hook }) => hook.EventID)
  assert.equal(ids.length, 2)
  assert.equal(new Set(ids).size, 1)
  const { reason } = await server.logged(({ msg }) => msg === 'hook not delivered')
  assert.equal(reason, 'no answer within 1 s')
})

test('a receiver that answers 410 wants no more of an event: it is dead at once', async () => {
  await using receiver = await startReceiver(({ Type }) => (Type === 'post-finish' ? 410 : {}))
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url } })
  await upload(server.url, 'hello')
  await server.logged(({ msg, type }) => String(msg).startsWith('hook given up') && type === 'post-finish')
  assert.equal(receiver.of('post-finish').length, 1)
})

test('what waits is listed with its next try', async () => {
  const port = await closedPort()
  const env = { FILELOFT_HOOKS_URL: `http://127.0.0.1:${port}/`, FILELOFT_HOOKS_EVENTS: 'post-finish' }
  await using server = await startServer({ env })
  await upload(server.url, 'hello')
  await server.logged(({ msg }) => msg === 'hook not delivered')
  const listed = await runCli(['hooks'], { ...env, FILELOFT_DATA_DIR: server.dataDir })
  assert.match(
    listed.stdout,
    /^waiting +post-finish_\S+  since \S+, \d+ tr(y|ies), next \S+: it cannot be reached: ECONN/m,
  )
})

/** Resolves once no event is left there. */
export async function emptied(server: TestServer, state: string): Promise<void> {
  const folder = join(server.dataDir, '.hooks', state)
  const end = Date.now() + 10_000
  while (readdirSync(folder).length > 0) {
    if (Date.now() > end) throw new Error(`${folder} holds ${readdirSync(folder).join()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function closedPort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 1
}
