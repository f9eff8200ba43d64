import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { formatRecord } from '../../src/files/record.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, folders, list, storeError } from './support.ts'

const folder = folders()

describe('fileStore, records', () => {
  const good = { ...planned('x', { length: 4 }), offset: 0, completed: false, joined: false, unverifiedFrom: null }
  const valid = JSON.parse(formatRecord(good)) as Record<string, unknown>
  const final = { type: 'final', value: 'v', partials: ['a'] }

  const bad: [string, string | Buffer | object, RegExp][] = [
    ['torn', JSON.stringify(valid).slice(0, 50), /not JSON/],
    ['zeros', Buffer.alloc(200), /not JSON/],
    ['an array', [], /not an object/],
    ['null', 'null', /not an object/],
    ['of another version', { ...valid, fileloft: 2 }, /version is 2/],
    ['of another program', { ID: 'x', Size: 4 }, /version is missing/],
    ['with an unknown field', { ...valid, offset: 3 }, /unknown field "offset"/],
    ['with a negative length', { ...valid, length: -1 }, /length is -1/],
    ['with a fraction', { ...valid, length: 1.5 }, /length is 1.5/],
    ['with a length above 2^53', { ...valid, length: 2 ** 53 }, /length is 9007199254740992/],
    ['with a text for a number', { ...valid, createdAt: '1' }, /createdAt is "1"/],
    ['without createdAt', { ...valid, createdAt: undefined }, /createdAt is missing/],
    ['with metadata of another type', { ...valid, metadata: 1 }, /metadata is 1/],
    ['with a concat of another shape', { ...valid, concat: { type: 'partial', more: 1 } }, /concat is/],
    ['with partials that are no ids', { ...valid, concat: { ...final, partials: [1] } }, /concat is/],
    ['completed with a text', { ...valid, completed: '1' }, /completed is "1"/],
    ['completed without a length', { ...valid, length: null, completed: 1 }, /completed without a length/],
    ['completed with unverified bytes', { ...valid, completed: 1, unverifiedFrom: 1 }, /unverified/],
    ['joined, but not final', { ...valid, joined: true }, /joined, but not/],
    ['completed with fewer bytes', { ...valid, completed: 1, length: 5 }, /has 4 bytes, its record says 5/],
    ['completed with more bytes', { ...valid, completed: 1, length: 3 }, /has 4 bytes, its record says 3/],
    ['joined with fewer bytes', { ...valid, joined: true, length: 5, concat: final }, /has 4 bytes/],
  ]
  for (const [what, content, message] of bad) {
    test(`a record ${what}: get throws corrupt and says so; incomplete skips it`, async () => {
      const directory = folder()
      fs.writeFileSync(join(directory, 'x'), 'data')
      const text = typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content)
      fs.writeFileSync(join(directory, 'x.info'), text)
      const store = fileStore({ directory })
      await assert.rejects(store.get('x'), storeError('corrupt', message))
      await assert.rejects(store.get('x'), storeError('corrupt', /x/))
      assert.deepEqual(await list(store.incomplete()), [])
    })
  }

  test('the record of another id (a file system that ignores case): unknown', async () => {
    const directory = folder()
    fs.writeFileSync(join(directory, 'X'), 'data')
    fs.writeFileSync(join(directory, 'X.info'), JSON.stringify(valid))
    assert.equal(await fileStore({ directory }).get('X'), null)
  })

  test('a termination that was cut short (record without bytes): unknown, and the id can be used again', async () => {
    const directory = folder()
    fs.writeFileSync(join(directory, 'x.info'), JSON.stringify(valid))
    const store = fileStore({ directory })
    assert.equal(await store.get('x'), null)
    assert.deepEqual(await list(store.incomplete()), [])
    await store.create(planned('x', { length: 9 }))
    assert.equal((await store.get('x'))?.length, 9)
  })

  test('an empty record, as a creation that is cut short leaves it: unknown; without bytes the id can be used', async () => {
    const directory = folder()
    for (const id of ['x', 'y']) fs.writeFileSync(join(directory, `${id}.info`), '')
    fs.writeFileSync(join(directory, 'x'), '')
    const store = fileStore({ directory })
    assert.deepEqual([await store.get('x'), await store.get('y')], [null, null])
    assert.deepEqual(await list(store.incomplete()), [])
    await assert.rejects(store.create(planned('x')), storeError('exists'))
    await store.create(planned('y', { length: 9 }))
    assert.equal((await store.get('y'))?.length, 9)
  })

  for (const [title, text] of [
    ['emptied', ''],
    ['cut off', '{"fileloft":1'],
    ['completed', `{"fileloft":1,"completed":1${JSON.stringify(valid).slice(28)}`],
  ] as const) {
    test(`completing an upload whose record was ${title} behind its back, after another one: a whole record, completed`, async () => {
      const directory = folder()
      const store = fileStore({ directory })
      for (const id of ['a', 'x']) {
        const upload = await store.append(await store.create(planned(id, { length: 4 })), bodyOf('data'))
        if (id === 'x') fs.writeFileSync(join(directory, 'x.info'), text)
        await store.update(upload, { completed: true })
      }
      assert.deepEqual(await store.get('x'), { ...good, offset: 4, completed: true })
    })
  }

  for (const before of [0, 300]) {
    test(`completing an upload while ${before} others wait for it: whether bytes were cut off since is seen`, async () => {
      const directory = folder()
      const store = fileStore({ directory })
      const whole = async (id: string) => store.append(await store.create(planned(id, { length: 4 })), bodyOf('data'))
      const upload = await whole('x')
      for (let count = 0; count < before; count++) await whole(`o${count}`)
      fs.writeFileSync(join(directory, 'x'), 'dat')
      await assert.rejects(store.update(upload, { completed: true }), storeError('corrupt'))
      assert.equal((await store.get('x'))?.completed, false)
    })
  }

  test('a final upload whose record cannot be read: the others that wait for the same partial are told', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    await store.create(planned('a', { concat: { type: 'partial' } }))
    for (const id of ['good', 'torn']) await store.create(planned(id, { concat: { ...final, type: 'final' } }))
    fs.writeFileSync(join(directory, 'torn.info'), '{"fileloft"')
    assert.deepEqual(await store.finalsOf('a'), ['good'])
  })

  test('closing a new record fails (network file systems tell so that it did not fit): nothing of it stays', async (t) => {
    const directory = folder()
    const store = fileStore({ directory })
    await store.create(planned('first'))
    const real = fs.closeSync
    let closes = 0
    t.mock.method(fs, 'closeSync', (fd: number) => {
      real(fd)
      // The data file's comes first.
      if (++closes === 2) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'close' })
    })
    await assert.rejects(store.create(planned('x')), storeError('full'))
    t.mock.restoreAll()
    assert.equal(await store.get('x'), null)
    await store.create(planned('x', { length: 9 }))
    assert.equal((await store.get('x'))?.length, 9)
  })

  test('a creation that was cut short (bytes without record): unknown, and the name stays taken', async () => {
    const directory = folder()
    fs.writeFileSync(join(directory, 'x'), '')
    const store = fileStore({ directory })
    assert.equal(await store.get('x'), null)
    await assert.rejects(store.create(planned('x')), storeError('exists'))
  })

  test('update: changes the fields named, keeps the others; incomplete bytes cannot be completed', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.create(planned('x', { metadata: 'm' }))
    const changed = await store.update(upload, { length: 4, expiresAt: 7 })
    assert.deepEqual(await store.get('x'), { ...upload, length: 4, expiresAt: 7 })
    await assert.rejects(store.update(changed, { completed: true }), storeError('corrupt', /0 bytes of 4/))
    assert.equal((await store.get('x'))?.completed, false)
  })

  test('a record that somebody has laid out anew: understood, and completed all the same', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const path = join(directory, 'x.info')
    await store.append(await store.create(planned('x', { length: 4 })), bodyOf('data'))
    const { completed, ...others } = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<string, unknown>
    fs.writeFileSync(path, JSON.stringify({ ...others, completed }, null, 2))
    const upload = (await store.get('x'))!
    const done = await store.update(upload, { completed: true })
    assert.deepEqual(done, { ...upload, completed: true })
    assert.deepEqual(await store.get('x'), done)
  })

  test('update to completed with bytes that are gone from the disk: corrupt, not completed', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const full = await store.append(await store.create(planned('x', { length: 4 })), bodyOf('data'))
    fs.truncateSync(join(directory, 'x'), 3)
    await assert.rejects(store.update(full, { completed: true }), storeError('corrupt', /3 bytes of 4/))
    assert.equal((await store.get('x'))?.completed, false)
    assert.deepEqual(fs.readdirSync(join(directory, '.tmp')), [])
  })
})
