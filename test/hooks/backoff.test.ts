/** The pauses between tries: how long they are, and that they are kept. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { backoffMs } from '../../src/node/hooks/backoff.ts'
import { startServer } from '../support/server.ts'
import { create, upload } from './client.ts'
import { startReceiver } from './receiver.ts'

test('backoffMs: doubled with each try from a second to five minutes, half of it by chance', (t) => {
  const chance = t.mock.method(Math, 'random')
  const between = (attempts: number) => {
    chance.mock.mockImplementation(() => 0)
    const least = backoffMs(attempts)
    chance.mock.mockImplementation(() => 0.5)
    const middle = backoffMs(attempts)
    chance.mock.mockImplementation(() => 1 - Number.EPSILON)
    return [least, middle, backoffMs(attempts)]
  }
  assert.deepEqual(between(1), [500, 750, 1000])
  assert.deepEqual(between(2), [1000, 1500, 2000])
  assert.deepEqual(between(3), [2000, 3000, 4000])
  assert.deepEqual(between(9), [128_000, 192_000, 256_000])
  for (const attempts of [10, 11, 1000, 5000]) assert.deepEqual(between(attempts), [150_000, 225_000, 300_000])
})

test('backoffMs: two events that fail at once are not tried again at once', () => {
  const pauses = new Set(Array.from({ length: 100 }, () => backoffMs(5)))
  assert.ok(pauses.size > 50, [...pauses].join())
})

test('a receiver that fails: each try comes after its pause, which grows, and the log says when', async () => {
  const times: number[] = []
  await using receiver = await startReceiver(() => (times.push(Date.now()) < 4 ? 500 : {}))
  const secret = `whsec_${Buffer.from('x'.repeat(32)).toString('base64')}`
  const env = {
    FILELOFT_HOOKS_URL: receiver.url,
    FILELOFT_HOOKS_EVENTS: 'post-finish',
    FILELOFT_HOOKS_SECRET: secret,
  }
  await using server = await startServer({ env })
  await upload(server.url, 'hello')
  await receiver.until(() => times.length === 4)
  const failed = server.records().filter(({ msg }) => msg === 'hook not delivered')
  assert.deepEqual(
    failed.map(({ attempts }) => attempts),
    [1, 2, 3],
  )
  for (const [index, { time, next }] of failed.entries()) {
    const most = 1000 * 2 ** index
    const pause = Date.parse(String(next)) - Date.parse(String(time))
    // A moment lies between the reckoning and the line.
    assert.ok(pause > most / 2 - 100 && pause <= most, `pause ${index + 1}: ${pause} ms`)
    assert.ok(times[index + 1]! >= Date.parse(String(next)) - 1, `try ${index + 2} came too early`)
  }
  // Each is signed for itself: verifiers refuse what was signed minutes ago.
  for (const [index, { raw, headers }] of receiver.deliveries.entries()) {
    new Webhook(secret).verify(raw, headers as Record<string, string>)
    assert.equal(headers['webhook-id'], receiver.deliveries[0]!.hook.EventID)
    const age = times[index]! / 1000 - Number(headers['webhook-timestamp'])
    assert.ok(age >= 0 && age < 2, `try ${index + 1} was signed ${age} s before it came`)
  }
})

test('a hook that a client waits for: tried again after half a second at least, twice that at most, then twice as long', async () => {
  const times: number[] = []
  await using receiver = await startReceiver(() => (times.push(Date.now()) < 3 ? 503 : {}))
  const env = { FILELOFT_HOOKS_URL: receiver.url, FILELOFT_HOOKS_EVENTS: 'pre-create', FILELOFT_HOOKS_RETRIES: '2' }
  await using server = await startServer({ env })
  await create(server.url, 5)
  const [first, second] = [times[1]! - times[0]!, times[2]! - times[1]!]
  // What the requests take comes on top.
  assert.ok(first >= 490 && first < 1000 + 2000, `after ${first} ms`)
  assert.ok(second >= 990 && second < 2000 + 2000, `after ${second} ms`)
})
