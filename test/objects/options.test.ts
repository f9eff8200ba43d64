/** Options of a store on a bucket that make no sense. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setup } from './support.ts'

const timer = 2 ** 31 - 1
const most: readonly [string, number, (value: unknown) => object][] = [
  ['partSize', Number.MAX_SAFE_INTEGER, (partSize) => ({ partSize })],
  ['partConcurrency', Number.MAX_SAFE_INTEGER, (partConcurrency) => ({ partConcurrency })],
  ['bufferBudget', Number.MAX_SAFE_INTEGER, (bufferBudget) => ({ bufferBudget })],
  ['checkpointMs', timer, (checkpointMs) => ({ checkpointMs })],
  ['retry.attempts', Number.MAX_SAFE_INTEGER, (attempts) => ({ retry: { attempts } })],
  ['retry.delayMs', timer, (delayMs) => ({ retry: { delayMs } })],
  ['retry.timeoutMs', timer, (timeoutMs) => ({ retry: { timeoutMs } })],
]

for (const [name, limit, option] of most) {
  test(`${name}: from 1 to ${limit}; anything else is a TypeError that says so`, () => {
    for (const value of [1, limit]) setup({}, option(value))
    for (const value of [0, -1, 1.5, Number.NaN, '8', null, limit + 1]) {
      const message = `${name} must be a whole number from 1 to ${limit}, not ${JSON.stringify(value)}`
      assert.throws(() => setup({}, option(value)), { name: 'TypeError', message }, String(value))
    }
  })
}
