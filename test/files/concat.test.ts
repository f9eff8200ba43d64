import assert from 'node:assert/strict'
import fs from 'node:fs'
import { basename, join } from 'node:path'
import { describe, test } from 'node:test'
import type { FileUpload } from '../../src/files/record.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, collect, folders, list, pattern, stored, storeError } from './support.ts'

const folder = folders()
const MiB = 1 << 20
const partial = { concat: { type: 'partial' } } as const

type Files = ReturnType<typeof fileStore>

function createFinal(store: Files, id: string, partials: readonly string[]): Promise<FileUpload> {
  return store.create(planned(id, { concat: { type: 'final', value: `final;${partials.join(' ')}`, partials } }))
}

async function assertHolds(store: Files, id: string, bytes: Uint8Array): Promise<void> {
  const upload = await store.get(id)
  assert.ok(upload)
  assert.equal(upload.offset, bytes.length)
  assert.equal(upload.length, bytes.length)
  assert.ok(Buffer.from(bytes).equals(await collect(store.read(upload, { start: 0, end: bytes.length }))), id)
}

const pieces = { a: pattern(2 * MiB + 5, 1), b: pattern(7, 2), c: pattern(MiB, 3), empty: Buffer.alloc(0) }
type Name = keyof typeof pieces
const orders: Name[][] = [
  ['a'],
  ['a', 'b', 'c'],
  ['b', 'a'],
  ['a', 'a'],
  ['a', 'b', 'a'],
  ['empty', 'a'],
  ['a', 'empty'],
  ['empty'],
  [],
]

describe('fileStore, concatenate', () => {
  for (const consumes of [false, true]) {
    for (const order of orders) {
      test(`[${order.join(', ')}], ${consumes ? 'consumed' : 'kept'}: the bytes in order; the partials as before`, async () => {
        const directory = folder()
        const store = fileStore({ directory })
        const uploads: FileUpload[] = []
        for (const id of new Set(order)) await stored(store, id, pieces[id], partial)
        for (const id of order) uploads.push((await store.get(id))!)
        const total = Buffer.concat(order.map((id) => pieces[id]))
        const final = await createFinal(store, 'f/final', order)
        const joined = await store.concatenate(final, uploads, { consumes })
        assert.equal(joined.offset, total.length)
        assert.equal(joined.length, total.length)
        await assertHolds(store, 'f/final', total)
        for (const id of new Set(order)) await assertHolds(store, id, pieces[id])
        assert.deepEqual(fs.readdirSync(join(directory, '.tmp')), [])
        const linked = order[0] !== undefined && fs.statSync(join(directory, order[0])).nlink === 2
        assert.equal(linked, consumes && order.length > 0, 'the first file is used again, or copied')

        await store.update(joined, { completed: true })
        if (consumes) for (const upload of new Set(uploads)) await store.terminate(upload)
        await assertHolds(store, 'f/final', total)
        assert.equal((await store.get('f/final'))?.completed, true)
      })
    }

    test(`a crash at any write, ${consumes ? 'consumed' : 'kept'}: done again, the same bytes`, async () => {
      const order: Name[] = ['a', 'b', 'a', 'c']
      const total = Buffer.concat(order.map((id) => pieces[id]))
      let crashes = 0
      const directory = folder()
      for (let crashAt = 1; ; crashAt++) {
        fs.rmSync(directory, { recursive: true })
        const store = fileStore({ directory })
        for (const id of new Set(order)) await stored(store, id, pieces[id], partial)
        const uploads = await Promise.all(order.map(async (id) => (await store.get(id))!))
        await createFinal(store, 'final', order)
        let writes = 0
        const crash = new Error('crash')
        const guard = (): void => {
          if (++writes === crashAt) throw crash
        }
        try {
          await store.concatenate((await store.get('final'))!, uploads, { consumes, guard })
          assert.equal(crashAt, writes + 1)
          break
        } catch (error) {
          assert.ok(error === crash || (error as Error).cause === crash)
          crashes++
        }
        const again = (await store.get('final'))!
        assert.equal(again.offset, 0, 'what is half done does not show')
        for (const id of new Set(order)) await assertHolds(store, id, pieces[id])
        const found = await Promise.all(order.map(async (id) => (await store.get(id))!))
        await store.concatenate(again, found, { consumes })
        await assertHolds(store, 'final', total)
        assert.equal(fs.statSync(join(directory, 'a')).nlink, consumes ? 2 : 1)
        for (const id of new Set(order)) await assertHolds(store, id, pieces[id])
      }
      assert.ok(crashes >= 7, `${crashes} crashes`)
    })
  }

  test('tried with consumes, again without (the option changed in between): the partial keeps its own file', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const a = await stored(store, 'a', pieces.a, partial)
    const b = await stored(store, 'b', pieces.b, partial)
    const final = await createFinal(store, 'final', ['a', 'b'])
    const total = Buffer.concat([pieces.a, pieces.b])
    await store.concatenate(final, [a, b], { consumes: true })
    await store.concatenate(final, [a, b], { consumes: false })
    assert.equal(fs.statSync(join(directory, 'final')).nlink, 1)
    await assertHolds(store, 'final', total)
    await assertHolds(store, 'a', pieces.a)
  })

  test('two finals of one partial, both consuming: neither disturbs the other', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const a = await stored(store, 'a', pieces.a, partial)
    const b = await stored(store, 'b', pieces.b, partial)
    const c = await stored(store, 'c', pieces.c, partial)
    const finals = [await createFinal(store, 'ab', ['a', 'b']), await createFinal(store, 'ac', ['a', 'c'])]
    await Promise.all([
      store.concatenate(finals[0]!, [a, b], { consumes: true }),
      fileStore({ directory }).concatenate(finals[1]!, [a, c], { consumes: true }),
    ])
    const ca = await createFinal(store, 'aa', ['a', 'a'])
    await store.concatenate(ca, [a, a], { consumes: true })
    for (const upload of [a, b, c]) await store.terminate(upload)
    await assertHolds(store, 'ab', Buffer.concat([pieces.a, pieces.b]))
    await assertHolds(store, 'ac', Buffer.concat([pieces.a, pieces.c]))
    await assertHolds(store, 'aa', Buffer.concat([pieces.a, pieces.a]))
  })

  test('a final that consumed a partial is terminated: the partial is whole and can be joined again', async () => {
    const store = fileStore({ directory: folder() })
    const b = await stored(store, 'b', pieces.b, partial)
    const a = await stored(store, 'a', pieces.a, partial)
    const first = await store.concatenate(await createFinal(store, 'one', ['b', 'a']), [b, a], { consumes: true })
    await store.terminate(first)
    await assertHolds(store, 'b', pieces.b)
    for (const consumes of [false, true]) {
      const id = `again-${consumes}`
      const found = (await store.get('b'))!
      await store.concatenate(await createFinal(store, id, ['b', 'b']), [found, found], { consumes })
      await assertHolds(store, id, Buffer.concat([pieces.b, pieces.b]))
    }
  })

  test('links are not to be had: the first partial is copied', async (t) => {
    const store = fileStore({ directory: folder() })
    const a = await stored(store, 'a', pieces.a, partial)
    const b = await stored(store, 'b', pieces.b, partial)
    const final = await createFinal(store, 'final', ['a', 'b'])
    t.mock.method(fs, 'linkSync', () => {
      throw Object.assign(new Error('EPERM'), { code: 'EPERM' })
    })
    await store.concatenate(final, [a, b], { consumes: true })
    await assertHolds(store, 'final', Buffer.concat([pieces.a, pieces.b]))
  })

  test('a partial that is not complete, or whose bytes are gone: corrupt, the final stays as it was', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const a = await stored(store, 'a', pieces.a, partial)
    const half = await store.append(await store.create(planned('half', { length: 9, ...partial })), bodyOf('half'))
    const final = await createFinal(store, 'final', ['a', 'half'])
    await assert.rejects(store.concatenate(final, [a, half]), storeError('corrupt', /half is not complete/))
    const b = await stored(store, 'b', pieces.b, partial)
    fs.truncateSync(join(directory, 'b'), 3)
    await assert.rejects(store.concatenate(final, [a, b]), storeError('corrupt', /ends at byte 3/))
    assert.deepEqual(await store.get('final'), final)
  })

  test('finalsOf: the finals that wait for a partial, each once, until they are joined, completed or terminated', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const id = `long/${'x'.repeat(180)}/${'y'.repeat(180)}`
    const a = await stored(store, id, pieces.b, partial)
    assert.deepEqual(await store.finalsOf(id), [])
    const finals = ['one', `${id}z`, 'three', 'four']
    for (const final of finals) await createFinal(store, final, [id, 'other', id])
    assert.deepEqual((await store.finalsOf(id)).sort(), [...finals].sort())
    assert.deepEqual((await fileStore({ directory }).finalsOf('other')).sort(), [...finals].sort())
    await store.concatenate((await store.get('one'))!, [a, a, a])
    await store.terminate((await store.get(`${id}z`))!)
    await store.update({ ...(await store.get('three'))!, length: 0 }, { completed: true })
    assert.deepEqual(await store.finalsOf(id), ['four'])
    await store.terminate((await store.get('four'))!)
    assert.deepEqual(fs.readdirSync(join(directory, '.finals')), [])
    assert.deepEqual(
      (await list(store.incomplete())).map(({ id }) => id),
      ['one'],
    )
  })

  test('a marker that goes while the others are being looked at: the others are told', async (t) => {
    const directory = folder()
    const store = fileStore({ directory })
    for (const final of ['one', 'two', 'three']) await createFinal(store, final, ['a'])
    const { readFileSync } = fs
    const gone: string[] = []
    t.mock.method(fs, 'readFileSync', (path: string, encoding: 'utf8') => {
      if (gone.length === 0 && path.includes('/.finals/')) {
        gone.push(basename(path))
        fs.unlinkSync(path)
      }
      return readFileSync(path, encoding)
    })
    const found = await store.finalsOf('a')
    assert.deepEqual([...found, ...gone].sort(), ['one', 'three', 'two'])
    assert.equal(gone.length, 1)
  })

  test('a marker that outlived its final (a crash): not told', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const final = await createFinal(store, 'final', ['a'])
    fs.cpSync(join(directory, '.finals'), join(directory, 'kept'), { recursive: true })
    await store.terminate(final)
    fs.renameSync(join(directory, 'kept'), join(directory, '.finals'))
    assert.deepEqual(await store.finalsOf('a'), [])
  })
})
