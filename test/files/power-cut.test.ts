/** Files as a power cut leaves them: with zeros where the last bytes were not written any more. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, folders, pattern, stored } from './support.ts'

const folder = folders()
const MiB = 1 << 20

/** When the machine was started, or so many seconds from then, in seconds. */
const started = (seconds: number) => Date.now() / 1000 - uptime() + seconds

/** A store whose upload `x` has these bytes, written so many seconds from the machine's start. */
async function upload(bytes: Uint8Array, seconds: number, length: number | null = null) {
  const directory = folder()
  const path = join(directory, 'x')
  const before = fileStore({ directory })
  await before.append(await before.create(planned('x', { length })), bodyOf(bytes))
  fs.utimesSync(path, started(seconds), started(seconds))
  return { store: fileStore({ directory }), path }
}

describe('fileStore, an upload that was running when the machine stopped', () => {
  for (const [title, zeros] of [
    ['some bytes', 700],
    ['a byte', 1],
    ['64 KiB', 64 * 1024],
    ['megabytes', 3 * MiB + 5],
  ] as const) {
    test(`zeros at its end, ${title}: they do not count, and the upload goes on before them`, async () => {
      const sent = pattern(200_000 + zeros)
      sent[199_999] = 1
      const { store, path } = await upload(Buffer.concat([sent.subarray(0, 200_000), Buffer.alloc(zeros)]), -5)
      const found = await store.get('x')
      assert.equal(found?.offset, 200_000)
      const done = await store.append(found, bodyOf(sent.subarray(200_000)))
      assert.equal(done.offset, sent.length)
      assert.ok(fs.readFileSync(path).equals(sent))
      assert.equal((await store.get('x'))?.offset, sent.length)
    })
  }

  test('zeros up to its length: it is not whole', async () => {
    const { store } = await upload(Buffer.concat([pattern(5000).fill(1, 4999), Buffer.alloc(96)]), -5, 5096)
    assert.equal((await store.get('x'))?.offset, 5000)
  })

  test('nothing but zeros, a little of it and more than is looked at: of the latter the first ones count', async () => {
    const small = await upload(Buffer.alloc(10), -5)
    assert.equal((await small.store.get('x'))?.offset, 0)
    const large = await upload(Buffer.alloc(1), -5)
    fs.truncateSync(large.path, 70 * MiB)
    fs.utimesSync(large.path, started(-5), started(-5))
    assert.equal((await large.store.get('x'))?.offset, 6 * MiB)
  })

  test('zeros before its last byte: all of it counts', async () => {
    const { store } = await upload(Buffer.from([1, 0, 0, 0, 2]), -5)
    assert.equal((await store.get('x'))?.offset, 5)
  })

  test('written since the machine was started: zeros count, as after any crash of the process alone', async () => {
    const { store } = await upload(Buffer.from([1, 0, 0]), 5)
    assert.equal((await store.get('x'))?.offset, 3)
  })

  test('it was completed: zeros count', async () => {
    const directory = folder()
    await stored(fileStore({ directory }), 'x', Buffer.from([1, 0, 0]))
    fs.utimesSync(join(directory, 'x'), started(-5), started(-5))
    assert.equal((await fileStore({ directory }).get('x'))?.offset, 3)
  })
})
