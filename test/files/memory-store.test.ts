import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { memoryStore } from '../../src/stores/memory.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, collect, list, pattern } from './support.ts'

const KiB64 = 1 << 16

/** Bytes that are kept in memory for these pieces. */
function kept(pieces: readonly Uint8Array[]): number {
  return [...new Set(pieces.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

describe('memoryStore, what it keeps', () => {
  for (const length of [200_000, null]) {
    test(`single bytes, each a view of 64 KiB, length ${length}: blocks of at most twice the bytes`, async () => {
      const store = memoryStore()
      const bytes = pattern(200_000)
      let upload = await store.create(planned('x', { length }))
      async function* body(from: number, to: number): AsyncGenerator<Uint8Array> {
        for (let at = from; at < to; at++) yield new Uint8Array(new ArrayBuffer(2), 0, 1).fill(bytes[at]!)
      }
      upload = await store.append(upload, body(0, 100_000))
      for (let at = 100_000; at < 100_500; at++) upload = await store.append(upload, body(at, at + 1))
      upload = await store.append(upload, body(100_500, bytes.length))
      assert.equal(upload.offset, bytes.length)
      const pieces = await list(store.read!(upload, { start: 0, end: bytes.length }))
      assert.ok(bytes.equals(Buffer.concat(pieces)))
      assert.ok(pieces.length < 30, `${pieces.length} pieces`)
      const limit = length ?? 2 * bytes.length
      assert.ok(kept(pieces) <= limit, `${kept(pieces)} bytes kept`)
    })
  }

  test('ten bytes of a 64 KiB buffer that is used again: ten bytes are kept, as they were', async () => {
    const store = memoryStore()
    const buffer = Buffer.alloc(KiB64, 'a')
    const upload = await store.create(planned('x', { length: 10 }))
    const after = await store.append(upload, bodyOf(buffer.subarray(0, 10)))
    buffer.fill('b')
    const pieces = await list(store.read!(after, { start: 0, end: 10 }))
    assert.equal(Buffer.concat(pieces).toString(), 'aaaaaaaaaa')
    assert.equal(kept(pieces), 10)
  })

  test('a body that throws between others: no byte of it is left, also where they share a block', async () => {
    const store = memoryStore()
    let upload = await store.append(await store.create(planned('x')), bodyOf('one,'))
    const wrong = new Error('checksum')
    await assert.rejects(store.append(upload, bodyOf('wrong', pattern(5_000), wrong)), wrong)
    upload = await store.append(upload, bodyOf('two'))
    assert.equal(String(await collect(store.read!(upload, { start: 0, end: 7 }))), 'one,two')
  })

  test('partials whose last blocks are not full are joined: every range reads right', async () => {
    const store = memoryStore()
    const [a, b] = await Promise.all(
      ['a', 'b'].map(async (id) => store.append(await store.create(planned(id)), bodyOf(`${id}1`, `${id}2`))),
    )
    const final = await store.create(planned('f'))
    const joined = await store.concatenate!(final, [a!, b!, a!])
    assert.equal(String(await collect(store.read!(joined, { start: 0, end: 12 }))), 'a1a2b1b2a1a2')
    assert.equal(String(await collect(store.read!(joined, { start: 3, end: 9 }))), '2b1b2a')
  })
})
