/** How long fetched keys count, by the clock. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { pino } from 'pino'
import { fetchedKeys, KeysUnavailable } from '../../src/node/auth/jwks.ts'
import { createIssuer, type KeyServer, startKeyServer } from './support.ts'

const minute = 60_000
const log = pino({ level: 'silent' })

/** Asks for keys at times of its own, in milliseconds since the beginning. */
function keysAt(t: TestContext, { url }: KeyServer, ages: { maxAgeMs: number; cooldownMs: number }) {
  t.mock.timers.enable({ apis: ['Date'], now: 0 })
  const get = fetchedKeys(new URL(url), { ...ages, log })
  return async (time: number, kid: string): Promise<'there' | 'unavailable' | 'unknown'> => {
    t.mock.timers.setTime(time)
    try {
      await get({ alg: 'RS256', kid }, { payload: '', signature: '' })
      return 'there'
    } catch (error) {
      return error instanceof KeysUnavailable ? 'unavailable' : 'unknown'
    }
  }
}

test('keys that cannot be fetched again count until an hour after they were fetched, however lately they were used', async (t) => {
  const issuer = await createIssuer('a')
  await using keys = await startKeyServer([issuer.jwk])
  const at = keysAt(t, keys, { maxAgeMs: 10 * minute, cooldownMs: minute / 2 })
  assert.equal(await at(0, 'a'), 'there')
  assert.equal(await at(10 * minute - 1, 'a'), 'there')
  assert.equal(keys.requests, 1, 'that one was not fetched anew')
  keys.answer('error')
  for (const time of [10 * minute, 30 * minute, 60 * minute - 1]) assert.equal(await at(time, 'a'), 'there')
  assert.equal(await at(60 * minute, 'a'), 'unavailable')
  assert.equal(await at(69 * minute, 'a'), 'unavailable')
  keys.answer([issuer.jwk])
  assert.equal(await at(70 * minute, 'a'), 'there')
  keys.answer('error')
  assert.equal(await at(129 * minute, 'a'), 'there', 'the hour begins anew')
  assert.equal(await at(130 * minute, 'a'), 'unavailable')
})

test('keys that are fetched once in two hours count for those; a failure that an unknown key causes changes nothing', async (t) => {
  const issuer = await createIssuer('a')
  await using keys = await startKeyServer([issuer.jwk])
  const at = keysAt(t, keys, { maxAgeMs: 120 * minute, cooldownMs: minute })
  assert.equal(await at(0, 'a'), 'there')
  keys.answer('error')
  assert.equal(await at(90 * minute, 'b'), 'unavailable')
  assert.equal(await at(90 * minute, 'a'), 'there')
  assert.equal(await at(120 * minute - 1, 'a'), 'there')
  assert.equal(await at(120 * minute, 'a'), 'unavailable')
  keys.answer([issuer.jwk])
  assert.equal(await at(121 * minute, 'b'), 'unknown')
})
