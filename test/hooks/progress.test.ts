/** post-receive: progress while bytes arrive, of which nothing depends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../support/server.ts'
import { all, create, trickle } from './client.ts'
import { type Say, startReceiver } from './receiver.ts'

test('post-receive: once a second while bytes arrive, with rising offsets; one that fails is not sent again', async () => {
  const times: number[] = []
  const answers: Say[] = [{}, 503]
  await using receiver = await startReceiver(({ Type }) => {
    if (Type !== 'post-receive') return {}
    times.push(performance.now())
    return answers.shift() ?? {}
  })
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all } })
  const location = await create(server.url, 5000)
  await receiver.until(() => receiver.of('post-create').length === 1)
  using sending = trickle(location, 5000)
  await receiver.until(() => times.length === 4)
  sending.finish()
  assert.equal((await sending.answer).status, 204)
  await receiver.until(() => receiver.of('post-finish').length === 1)
  const told = receiver.of('post-receive')
  const offsets = told.map(({ hook }) => hook.Event.Upload.Offset)
  for (const [index, offset] of offsets.entries()) {
    assert.ok(offset > (offsets[index - 1] ?? 0) && offset <= 5000, offsets.join())
    // As they come here: on its way one may be a little slower than the next.
    if (index > 0) assert.ok(times[index]! - times[index - 1]! > 700, times.join())
  }
  assert.equal(new Set(told.map(({ hook }) => hook.EventID)).size, told.length)
  const types = receiver.deliveries.map(({ hook }) => hook.Type)
  assert.ok(types.lastIndexOf('post-receive') < types.indexOf('pre-finish'), types.join())
})

test('post-receive that is never answered: the request waits for it for five seconds at most, then the upload is done', async () => {
  await using receiver = await startReceiver(({ Type }) => (Type === 'post-receive' ? 'nothing' : {}))
  await using server = await startServer({ env: { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: all } })
  const location = await create(server.url, 5000)
  await receiver.until(() => receiver.of('post-create').length === 1)
  using sending = trickle(location, 5000)
  await receiver.until(() => receiver.of('post-receive').length === 1)
  const since = performance.now()
  sending.finish()
  assert.equal((await sending.answer).status, 204)
  const waited = performance.now() - since
  assert.ok(waited < 9000, `${waited} ms`)
  await receiver.until(() => receiver.of('post-finish').length === 1)
  assert.equal(receiver.of('post-receive').length, 1)
})
