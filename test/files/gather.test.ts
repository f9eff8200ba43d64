/** What waits to be written: how many blocks hold it, whatever the chunks are like. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { blockBytes, giveBack, takeBlock } from '../../src/files/blocks.ts'
import { gatherer } from '../../src/files/gather.ts'
import { pattern } from './support.ts'

describe('chunks that wait to be written', () => {
  test('a million single bytes, each a view of 64 KiB: some blocks, none of the views but the first', () => {
    const waiting = gatherer()
    const bytes = pattern(1_000_000)
    for (const byte of bytes) {
      const view = Buffer.from(new ArrayBuffer(2), 0, 1)
      view[0] = byte
      waiting.add(view)
    }
    assert.equal(waiting.bytes, bytes.length)
    const pieces = waiting.take()
    assert.ok(bytes.equals(Buffer.concat(pieces)))
    assert.equal(pieces.length, 1 + Math.ceil((bytes.length - 1) / blockBytes))
    assert.ok(pieces.slice(1).every(({ buffer }) => buffer.byteLength === blockBytes))
    assert.equal(waiting.bytes, 0)
    assert.deepEqual(waiting.take(), [])
  })

  test('taken between small chunks: what was handed out does not change', () => {
    const waiting = gatherer()
    const taken: [string, Uint8Array[]][] = []
    for (let n = 0; n < 1_000; n++) {
      const text = `chunk ${n},`
      for (const letter of text) waiting.add(Buffer.from(letter))
      taken.push([text, waiting.take()])
    }
    for (const [text, pieces] of taken) assert.equal(Buffer.concat(pieces).toString(), text)
  })

  test('given back: blocks are used again, a buffer of somebody else of the same size never', () => {
    const waiting = gatherer()
    const foreign = Buffer.alloc(blockBytes, 'f')
    waiting.add(foreign)
    waiting.add(pattern(blockBytes))
    const [first, block] = waiting.take()
    assert.ok(first !== undefined && block !== undefined)
    giveBack([first, block])
    const taken = Array.from({ length: 3 }, takeBlock)
    assert.equal(taken.filter(({ buffer }) => buffer === block.buffer).length, 1)
    assert.ok(taken.every(({ buffer }) => buffer !== foreign.buffer))
    assert.equal(new Set(taken.map(({ buffer }) => buffer)).size, 3, 'one block for two')
  })
})
