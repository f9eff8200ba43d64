import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { formatRecord } from '../../src/files/record.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, collect, folders, pattern, storeError } from './support.ts'

const folder = folders()
const MiB = 1 << 20

describe('fileStore, append', () => {
  test('bodies that end: every byte kept, the offset is their sum, read back identical', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const bytes = pattern(5 * MiB + 321)
    let upload = await store.create(planned('x', { length: bytes.length }))
    let at = 0
    const sizes = [1, 0, 65_536, 3, 700_000, 2 * MiB, 17, 1_048_576, 1_048_577]
    const pieces: Uint8Array[] = []
    for (let turn = 0; at < bytes.length; turn++) {
      pieces.push(bytes.subarray(at, (at += sizes[turn % sizes.length]!)))
      if (turn % 4 !== 3 && at < bytes.length) continue
      const progress: number[] = []
      upload = await store.append(upload, bodyOf(...pieces.splice(0)), {
        onProgress: (offset) => progress.push(offset),
      })
      assert.equal(upload.offset, Math.min(at, bytes.length))
      assert.equal(progress.at(-1), upload.offset)
      assert.deepEqual(await store.get('x'), upload)
    }
    assert.ok(bytes.equals(await collect(store.read(upload, { start: 0, end: bytes.length }))))
  })

  for (const atomic of [false, true]) {
    test(`tiny chunks among large ones, ${atomic ? 'atomic' : 'plain'}: written in order`, async () => {
      const store = fileStore({ directory: folder() })
      const bytes = pattern(2 * MiB)
      const chunks: Uint8Array[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = turn % 9_000 === 8_999 ? 400_000 : turn % 3_000 === 2_999 ? 20_000 : (turn % 40) + 1
        chunks.push(bytes.subarray(at, (at += size)))
      }
      const after = await store.append(await store.create(planned('x')), bodyOf(...chunks), { atomic })
      assert.ok(bytes.equals(await collect(store.read(after, { start: 0, end: bytes.length }))))
    })
  }

  test('an empty body: nothing is opened or changed', async () => {
    const store = fileStore({ directory: folder() })
    const upload = await store.create(planned('x'))
    const guard = (): void => assert.fail('nothing is written')
    assert.equal((await store.append(upload, bodyOf(), { guard })).offset, 0)
    assert.equal((await store.append(upload, bodyOf('', ''), { guard, atomic: true })).offset, 0)
  })

  for (const size of [10, 3 * MiB]) {
    for (const atomic of [false, true]) {
      for (const length of [null, 6 + size]) {
        const mode = `${atomic ? 'atomic' : 'plain'}${length === null ? '' : ', the last ones of the upload'}`
        test(`a body that throws after ${size} bytes, ${mode}: as if it had never been`, async () => {
          const directory = folder()
          const store = fileStore({ directory })
          const before = await store.append(await store.create(planned('x', { length })), bodyOf('before'))
          const wrong = new Error('checksum')
          await assert.rejects(store.append(before, bodyOf(pattern(size), wrong), { atomic }), wrong)
          assert.deepEqual(await store.get('x'), before)
          assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), 'before')
          const after = await store.append(before, bodyOf(' after'))
          assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), 'before after')
          assert.deepEqual(await store.get('x'), after)
        })
      }

      test(`a body of ${size} bytes, ${atomic ? 'atomic' : 'plain'}: ${atomic ? 'nothing counts before' : 'counts until'} its end`, async () => {
        const directory = folder()
        const store = fileStore({ directory })
        const before = await store.append(await store.create(planned('x')), bodyOf('before'))
        const progress: number[] = []
        let seen: number | undefined
        async function* body(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < size; at += 65_536) yield pattern(Math.min(65_536, size - at))
          if (!atomic) while (progress.length === 0 || progress.at(-1)! < 6 + size) await new Promise(setImmediate)
          seen = (await fileStore({ directory }).get('x'))?.offset
          if (atomic) assert.deepEqual(progress, [])
        }
        const after = await store.append(before, body(), { atomic, onProgress: (offset) => progress.push(offset) })
        assert.equal(seen, atomic ? 6 : 6 + size)
        assert.equal(after.offset, 6 + size)
        assert.equal(progress.at(-1), 6 + size)
        assert.deepEqual(await store.get('x'), after)
        assert.equal(fs.statSync(join(directory, 'x')).size, 6 + size)
      })
    }
  }

  for (const atomic of ['plain', 'atomic']) {
    test(`kill -9 in the middle of a large body, ${atomic}: ${atomic === 'atomic' ? 'nothing' : 'what was written'} counts, and it goes on`, async () => {
      const directory = folder()
      const store = fileStore({ directory })
      await store.append(await store.create(planned('x')), bodyOf('before'))
      const child = fork(new URL('append-child.ts', import.meta.url), [directory, 'x', atomic])
      await once(child, 'message')
      // Its last vector is on its way to the disk.
      while (fs.statSync(join(directory, 'x')).size < 6 + 8 * MiB) await new Promise(setImmediate)
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
      const found = await store.get('x')
      if (atomic === 'atomic') assert.equal(found?.offset, 6)
      else assert.ok(found!.offset >= 6 + 8 * MiB)
      const after = await store.append(found!, bodyOf(' after'))
      const data = await collect(store.read(after, { start: 0, end: after.offset }))
      assert.equal(data.length, found!.offset + 6)
      assert.equal(data.subarray(0, 6).toString(), 'before')
      assert.equal(data.subarray(-6).toString(), ' after')
      assert.ok(data.subarray(6, -6).every((byte) => byte === 110))
      assert.deepEqual(await store.get('x'), after)
    })
  }

  test('left by an atomic append that was killed (record marked): get tells the mark, completing drops the rest', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.create(planned('x', { length: 6 }))
    fs.writeFileSync(join(directory, 'x'), 'before-and-more')
    fs.writeFileSync(join(directory, 'x.info'), formatRecord({ ...upload, length: null, unverifiedFrom: 6 }))
    const found = await store.get('x')
    assert.equal(found!.offset, 6)
    await store.update(found!, { length: 6, completed: true })
    assert.equal((await store.get('x'))?.completed, true)
    assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), 'before')
  })

  test('fewer bytes in the file than the offset says: corrupt, and no hole is made', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.append(await store.create(planned('x')), bodyOf('before'))
    fs.truncateSync(join(directory, 'x'), 2)
    await assert.rejects(store.append(upload, bodyOf('after')), storeError('corrupt', /2 bytes, fewer than/))
    assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), 'be')
    fs.unlinkSync(join(directory, 'x'))
    await assert.rejects(store.append(upload, bodyOf('after')), storeError('corrupt', /gone/))
  })

  test('a long body that is in memory already: others have their turn before it is at its end', async () => {
    const store = fileStore({ directory: folder(), sync: 'never' })
    const chunk = pattern(1 << 20)
    let turns = 0
    async function* body() {
      setImmediate(() => turns++)
      for (let n = 0; n < 48; n++) yield chunk
      assert.equal(turns, 1)
    }
    await store.append(await store.create(planned('a', { length: 64 << 20 })), body())
  })

  test('a body that stands still: what came before is written within a second', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const written = Promise.withResolvers<number>()
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('slow')
      assert.equal(await written.promise, 4)
      assert.equal((await store.get('x'))?.offset, 4)
      yield Buffer.from(' body')
    }
    const after = await store.append(await store.create(planned('x')), body(), { onProgress: written.resolve })
    assert.equal(after.offset, 9)
  })

  test('a disk that is slower than the body: at most 2 MiB are taken ahead of it', async () => {
    const store = fileStore({ directory: folder() })
    const gate = Promise.withResolvers<void>()
    let taken = 0
    let opened = false
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 200; n++) {
        taken += 65_536
        yield Buffer.alloc(65_536)
      }
    }
    const appending = store.append(await store.create(planned('x')), body(), {
      guard: () => (opened ? undefined : gate.promise),
    })
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
    assert.ok(taken >= MiB / 2 && taken <= 2 * MiB, `${taken} bytes`)
    opened = true
    gate.resolve()
    assert.equal((await appending).offset, 200 * 65_536)
  })

  for (const atomic of [false, true]) {
    test(`the lock is lost on the way, ${atomic ? 'atomic' : 'plain'}: guard's error, nothing more is written or cut`, async () => {
      const directory = folder()
      const store = fileStore({ directory })
      const upload = await store.append(await store.create(planned('x')), bodyOf('before'))
      const lost = new Error('lost')
      let size: number | undefined
      async function* body(): AsyncGenerator<Uint8Array> {
        for (let n = 0; n < 100; n++) yield Buffer.alloc(65_536)
      }
      const guard = (): void => {
        if (size === undefined && fs.statSync(join(directory, 'x')).size > 6)
          size = fs.statSync(join(directory, 'x')).size
        if (size !== undefined) throw lost
      }
      await assert.rejects(store.append(upload, body(), { guard, atomic }), lost)
      assert.ok(size! > 6)
      assert.equal(fs.statSync(join(directory, 'x')).size, size)
      assert.equal((await store.get('x'))?.offset, atomic ? 6 : size)
    })
  }

  for (const before of ['', 'before']) {
    test(`the lock is lost before the rest of an upload with ${before.length} bytes is written: guard's error, nothing is`, async () => {
      const directory = folder()
      const store = fileStore({ directory })
      const created = await store.create(planned('x', { length: before.length + 4 }))
      const upload = await store.append(created, bodyOf(before))
      const lost = new Error('lost')
      const guard = (): void => {
        throw lost
      }
      await assert.rejects(store.append(upload, bodyOf('rest'), { guard }), lost)
      assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), before)
    })
  }

  test("the body throws after the lock was lost: nothing is cut off, guard's error", async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.create(planned('x'))
    const lost = new Error('lost')
    let isLost = false
    const wrote = Promise.withResolvers<void>()
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('some')
      await wrote.promise
      isLost = true
      throw new Error('limit')
    }
    const guard = (): void => {
      if (isLost) throw lost
    }
    await assert.rejects(store.append(upload, body(), { guard, onProgress: () => wrote.resolve() }), lost)
    assert.equal(fs.readFileSync(join(directory, 'x'), 'utf8'), 'some')
  })
})
