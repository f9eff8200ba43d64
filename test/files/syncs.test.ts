import { takeSyncs } from './syncs.ts'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { beforeEach, describe, test } from 'node:test'
import { readCommandLine } from '../../src/node/config.ts'
import { openStorage } from '../../src/node/storage.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, folders, openFiles, pattern, settled, stored } from './support.ts'

const folder = folders()
const MiB = 1 << 20

describe('fileStore, what is synced', () => {
  beforeEach(() => void takeSyncs())
  const steps: Record<'always' | 'complete' | 'never', string[][]> = {
    //          create               append   length               completed
    always: [['1', 'x.info'], ['x'], ['1', 'record'], ['1', 'x', 'x.info']],
    complete: [[], [], ['record'], ['1', 'x', 'x.info']],
    never: [[], [], [], []],
  }
  for (const [sync, expected] of Object.entries(steps) as ['always' | 'complete' | 'never', string[][]][]) {
    test(`sync ${sync}: bytes, record and folder are synced when promised and not otherwise`, async () => {
      const directory = join(folder(), '1')
      const store = fileStore({ directory, sync })
      let upload = await store.create(planned('x'))
      const seen = [takeSyncs()]
      upload = await store.append(upload, bodyOf('data'))
      seen.push(takeSyncs())
      upload = await store.update(upload, { length: 4 })
      seen.push(takeSyncs())
      await store.update(upload, { completed: true })
      seen.push(takeSyncs())
      assert.deepEqual(seen, expected)
    })
  }

  for (const [value, expected] of [
    ['always', ['data', 'data', 'x', 'x.info', 'x.info']],
    ['complete', ['data', 'x', 'x.info']],
    ['never', []],
  ] as const) {
    test(`FILELOFT_SYNC=${value}: the server's store syncs so`, async () => {
      const environment = { FILELOFT_SYNC: value, FILELOFT_DATA_DIR: join(folder(), 'data') }
      const { store } = await openStorage(readCommandLine([], environment).config)
      takeSyncs()
      const upload = await store.append(await store.create(planned('x', { length: 4 })), bodyOf('data'))
      await store.update(upload, { completed: true })
      assert.deepEqual(takeSyncs(), expected)
    })
  }

  test('more uploads wait to be completed than are remembered as synced: each is synced, the oldest once more', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    const uploads = []
    for (let count = 0; count < 257; count++) {
      uploads.push(await store.append(await store.create(planned(`x${count}`, { length: 4 })), bodyOf('data')))
    }
    assert.equal(takeSyncs().length, 257)
    const seen = []
    for (const upload of uploads.slice(0, 2)) {
      await store.update(upload, { completed: true })
      seen.push(takeSyncs())
    }
    assert.deepEqual(seen, [
      ['data', 'x0', 'x0.info'],
      ['data', 'x1.info'],
    ])
  })

  const bodies: Record<string, (string | string[])[]> = {
    'in one chunk': ['data'],
    'in several chunks': [['da', 't', 'a']],
    'in two appends': ['da', 'ta'],
  }
  for (const [title, appends] of Object.entries(bodies)) {
    test(`all bytes, ${title}: synced once, by the append that brings the last one, before the finish callback`, async () => {
      const store = fileStore({ directory: join(folder(), 'data') })
      let upload = await store.create(planned('x', { length: 4 }))
      for (const [index, body] of appends.entries()) {
        upload = await store.append(upload, bodyOf(...[body].flat()))
        assert.deepEqual(takeSyncs(), index === appends.length - 1 ? ['x'] : [])
      }
      await store.sync(upload)
      assert.deepEqual(takeSyncs(), [])
      await store.update(upload, { completed: true })
      assert.deepEqual(takeSyncs(), ['data', 'x.info'])
    })

    test(`sync never, all bytes, ${title}: nothing is synced`, async () => {
      const store = fileStore({ directory: join(folder(), 'data'), sync: 'never' })
      let upload = await store.create(planned('x', { length: 4 }))
      for (const body of appends) upload = await store.append(upload, bodyOf(...[body].flat()))
      await store.update(upload, { completed: true })
      assert.deepEqual(takeSyncs(), [])
    })
  }

  test('bytes that an earlier process has appended: synced when the upload is completed', async () => {
    const directory = join(folder(), 'data')
    const before = fileStore({ directory })
    await before.append(await before.create(planned('x', { length: 4 })), bodyOf('data'))
    takeSyncs()
    const store = fileStore({ directory })
    const upload = await store.get('x')
    assert.ok(upload)
    await store.sync(upload)
    assert.deepEqual(takeSyncs(), ['x'])
  })

  test('completed together with another change: a new record, synced before it takes the place of the old one', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    const upload = await store.append(await store.create(planned('x')), bodyOf('data'))
    await store.update(upload, { length: 4, completed: true })
    assert.deepEqual([...new Set(takeSyncs())], ['data', 'record', 'x'])
  })

  test('a record longer than a page is completed in its place: all of it is synced, not only the page that was written', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    const metadata = `filename ${Buffer.alloc(4000).toString('base64')}`
    const upload = await store.append(await store.create(planned('x', { length: 4, metadata })), bodyOf('data'))
    assert.deepEqual(takeSyncs(), ['x'])
    await store.update(upload, { completed: true })
    assert.deepEqual(takeSyncs(), ['data', 'x.info', 'x.info'])
    assert.deepEqual(await store.get('x'), { ...upload, completed: true })
  })

  test('an id with slashes is completed: every folder up to the root is synced', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    await stored(store, 'a/b/c', 'x')
    assert.deepEqual(takeSyncs(), ['a', 'b', 'c', 'c.info', 'data'])
  })

  test('32 uploads are completed at once: the folder is synced a few times, not 32', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    const uploads = await Promise.all(
      Array.from({ length: 32 }, async (_, n) => {
        const upload = await store.create(planned(`u${n}`, { length: 1 }))
        return store.append(upload, bodyOf('x'))
      }),
    )
    takeSyncs()
    await Promise.all(uploads.map((upload) => store.update(upload, { completed: true })))
    const folderSyncs = takeSyncs().filter((name) => name === 'data').length
    assert.ok(folderSyncs >= 1 && folderSyncs <= 20, `${folderSyncs} syncs`)
  })

  test('a body of 100 MiB: synced on the way, and the file is closed after that', async () => {
    const directory = join(folder(), 'data')
    const store = fileStore({ directory })
    const upload = await store.create(planned('x'))
    takeSyncs()
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 100; n++) {
        yield Buffer.alloc(MiB)
        await settled()
      }
    }
    await store.append(upload, body())
    const syncs = takeSyncs()
    assert.ok(syncs.length >= 2 && syncs.length <= 12, `${syncs.length} syncs`)
    assert.ok(syncs.every((name) => name === 'x'))
    assert.deepEqual(
      openFiles().filter((path) => path === join(directory, 'x')),
      [],
    )
  })

  test('sync never, a body of 40 MiB: not synced on the way either', async () => {
    const store = fileStore({ directory: join(folder(), 'data'), sync: 'never' })
    await store.append(await store.create(planned('x')), bodyOf(Buffer.alloc(40 * MiB)))
    assert.deepEqual(takeSyncs(), [])
  })

  test('the marker of a large atomic append: on the disk before the bytes it marks', async () => {
    const store = fileStore({ directory: join(folder(), 'data') })
    const upload = await store.create(planned('x'))
    async function* body(): AsyncGenerator<Uint8Array> {
      yield pattern(MiB + 1)
      assert.deepEqual(takeSyncs(), ['record'])
    }
    await store.append(upload, body(), { atomic: true })
    assert.deepEqual(takeSyncs(), ['record'])
  })

  for (const [sync, expected] of Object.entries({ always: ['1', 'record', 'x'], complete: ['record'], never: [] })) {
    test(`sync ${sync}, a large atomic append: that its bytes count is on the disk when promised`, async () => {
      const store = fileStore({ directory: join(folder(), '1'), sync: sync as 'always' | 'complete' | 'never' })
      const upload = await store.create(planned('x'))
      async function* body(): AsyncGenerator<Uint8Array> {
        yield pattern(MiB + 1)
        takeSyncs()
      }
      await store.append(upload, body(), { atomic: true })
      assert.deepEqual(takeSyncs(), expected)
    })

    // Some file systems would leave an empty file where a new record is renamed to the place of one that was safe.
    test(`sync ${sync}, another time to expire: the record is on the disk before it takes the place of the old one`, async () => {
      const store = fileStore({ directory: join(folder(), '1'), sync: sync as 'always' | 'complete' | 'never' })
      const upload = await store.create(planned('x', { expiresAt: 1 }))
      takeSyncs()
      await store.update(upload, { expiresAt: 2 })
      assert.deepEqual(
        takeSyncs(),
        expected.filter((name) => name !== 'x'),
      )
    })

    test(`sync ${sync}, an append behind bytes that never counted: as much on the disk as after any other`, async () => {
      const directory = join(folder(), '1')
      const store = fileStore({ directory, sync: sync as 'always' | 'complete' | 'never' })
      await store.update(await store.create(planned('x')), { unverifiedFrom: 0 } as object)
      const upload = await store.get('x')
      assert.ok(upload)
      takeSyncs()
      await store.append(upload, bodyOf('data'))
      assert.deepEqual(takeSyncs(), expected)
    })
  }
})
