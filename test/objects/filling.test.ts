/** A part that grows while it is filled, and its body on the way to the storage. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBuffers, type Holder } from '../../src/objects/buffers.ts'
import { fill } from '../../src/objects/filling.ts'
import { streamedBody } from '../../src/objects/streamed.ts'
import { data, kib } from './support.ts'

const step = 4096 * kib

async function begin(filled = 0) {
  const buffers = createBuffers(100 * step, 50 * step)
  const holder: Holder = { held: 0, since: 0, release: () => {} }
  const take = () => buffers.take(step, holder)
  const buffer = await take()
  const bytes = data(3 * step)
  buffer.set(bytes.subarray(0, filled))
  return { part: fill(buffers, holder, buffer, filled), bytes, take, buffers, holder }
}

test('bytes for a part in several buffers: as many as there is room for, found again in their order', async () => {
  const { part, bytes, take, buffers } = await begin(100)
  assert.equal(part.add(bytes.subarray(100)), step - 100)
  assert.equal(part.add(bytes.subarray(step)), 0)
  part.grow(await take())
  assert.equal(part.add(bytes.subarray(step, step + 500)), 500)
  assert.equal(part.add(bytes.subarray(step + 500), step + 700), 200)
  assert.deepEqual([part.filled, part.capacity, part.step], [step + 700, 2 * step, step])
  assert.deepEqual(part.piece(step - 10), bytes.subarray(step - 10, step))
  assert.deepEqual(part.piece(step + 1), bytes.subarray(step + 1, step + 700))
  assert.equal(part.piece(step + 700).byteLength, 0)
  assert.deepEqual(part.front(10), bytes.subarray(0, 10))
  assert.deepEqual(part.front(step + 700), bytes.subarray(0, step + 700))
  assert.equal(buffers.used, 2 * step)
  part.give()
  part.forget()
  assert.equal(buffers.used, 0)
})

test('the body of a part: pieces worth a write, in their order; a second reader begins anew; the last one ends it', async () => {
  const { part, bytes, take } = await begin()
  const body = streamedBody(part, step + 300)
  const first = body.pieces()[Symbol.asyncIterator]()
  part.add(bytes.subarray(0, 2400 * kib))
  assert.deepEqual((await first.next()).value, bytes.subarray(0, 2400 * kib))
  const waiting = first.next()
  let isThere = false
  void waiting.then(() => (isThere = true))
  part.add(bytes.subarray(2400 * kib, 2401 * kib))
  body.more()
  await new Promise(setImmediate)
  assert.equal(isThere, false, 'a kibibyte is not worth a write')
  part.add(bytes.subarray(2401 * kib))
  body.more()
  assert.deepEqual((await waiting).value, bytes.subarray(2400 * kib, step))
  const last = first.next()
  part.grow(await take())
  part.add(bytes.subarray(step), step + 300)
  body.more()
  assert.deepEqual((await last).value, bytes.subarray(step, step + 300))
  assert.equal((await first.next()).done, true)
  const again: Uint8Array[] = []
  for await (const piece of body.pieces()) again.push(piece.slice())
  assert.deepEqual(Buffer.concat(again), Buffer.from(bytes.subarray(0, step + 300)))
})

test('the body of a part whose bytes come slowly: some go out every few seconds, however few', async (context) => {
  context.mock.timers.enable({ apis: ['Date'] })
  const { part, bytes } = await begin()
  const body = streamedBody(part, step)
  const pieces = body.pieces()[Symbol.asyncIterator]()
  for (const start of [0, 10]) {
    const waiting = pieces.next()
    let isThere = false
    void waiting.then(() => (isThere = true))
    for (let n = 0; n < 10; n++) {
      assert.equal(isThere, false)
      part.add(bytes.subarray(start + n, start + n + 1))
      context.mock.timers.tick(500)
      body.more()
      await new Promise(setImmediate)
    }
    assert.ok(isThere, 'nothing goes out')
    assert.deepEqual((await waiting).value, bytes.subarray(start, start + 10))
  }
})

test('the body of a part that is given up: who waits for more hears of it, and whoever begins anew', async () => {
  const { part } = await begin()
  const body = streamedBody(part, step)
  const waiting = body.pieces()[Symbol.asyncIterator]().next()
  body.giveUp()
  const error = { code: 'unavailable', transient: false }
  await assert.rejects(waiting, error)
  await assert.rejects(async () => {
    for await (const _ of body.pieces());
  }, error)
  assert.equal(body.signal.aborted, true)
})
