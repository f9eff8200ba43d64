import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileStore } from '../src/stores/fs.ts'
import { bodyOf, collect, folders, list, openFiles, pattern, stored, storeError } from './files/support.ts'
import { planned } from './support/planned.ts'

const folder = folders()
const MiB = 1 << 20

describe('fileStore, made', () => {
  test('bad options: TypeError; good ones: nothing is read or written', () => {
    for (const bad of [{}, { directory: '' }, { directory: 'a\0b' }, { directory: '/tmp', sync: 'often' }]) {
      assert.throws(() => fileStore(bad as { directory: string }), TypeError)
    }
    const directory = join(folder(), 'new')
    fileStore({ directory })
    assert.equal(fs.existsSync(directory), false)
  })

  test('first create: makes the directory, also several levels, and by many at once', async () => {
    const directory = join(folder(), 'a/b')
    const store = fileStore({ directory })
    await Promise.all(['x', 'y', 'z'].map((id) => store.create(planned(id))))
    assert.deepEqual(fs.readdirSync(directory).sort(), ['.tmp', 'x', 'x.info', 'y', 'y.info', 'z', 'z.info'])
  })

  test('first use: removes temporary files of its own older than 10 minutes, and nothing else; no folder stops it', async () => {
    const directory = folder()
    const [old, young, named] = ['1', '2', '3'].map((n) => `01234567-89ab-4def-8123-456789abcdef-${n}`)
    fs.mkdirSync(join(directory, '.tmp'))
    for (const [name, age] of [
      [old!, 11],
      [young!, 9],
      [named!, 'folder'],
      ['folder', 'folder'],
      ['notes', 11],
    ] as const) {
      const path = join(directory, '.tmp', name)
      if (age === 'folder') fs.mkdirSync(join(path, 'below'), { recursive: true })
      else fs.writeFileSync(path, '')
      fs.utimesSync(path, Date.now() / 1000, Date.now() / 1000 - (age === 'folder' ? 60 : age) * 60)
    }
    await fileStore({ directory }).create(planned('x'))
    assert.deepEqual(fs.readdirSync(join(directory, '.tmp')).sort(), [young, named, 'folder', 'notes'])
  })

  test('check: fine where files can be written and leaves none, else says what is wrong', async () => {
    const directory = join(folder(), 'new')
    await fileStore({ directory }).check()
    assert.deepEqual(fs.readdirSync(directory, { recursive: true }), ['.tmp'])
    const cleared = fileStore({ directory })
    await cleared.check()
    fs.rmdirSync(join(directory, '.tmp'))
    await cleared.check()
    const file = join(folder(), 'file')
    fs.writeFileSync(file, '')
    await assert.rejects(
      fileStore({ directory: file }).check(),
      storeError('unavailable', /directory .*file.* EEXIST|ENOTDIR/),
    )
  })
})

describe('fileStore, create and get', () => {
  test('what was created is got, field by field; an unknown id is null', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const concat = { type: 'final', value: 'final;/a /b', partials: ['a', 'b'] } as const
    const uploads = [
      planned('plain', { length: 11, metadata: 'filename aGVsbG8udHh0,empty', expiresAt: 5 }),
      planned('part', { concat: { type: 'partial' } }),
      planned('ä/b c', { length: 0, concat }),
    ]
    for (const upload of uploads) {
      const created = await store.create(upload)
      assert.deepEqual(created, { ...upload, offset: 0, completed: false, joined: false, unverifiedFrom: null })
      assert.deepEqual(await fileStore({ directory }).get(upload.id), created)
    }
    assert.equal(await store.get('unknown'), null)
    assert.equal(await store.get('no/such/folder'), null)
    assert.equal(await store.get('plain/below'), null)
  })

  test('a directory that was never made: get is null, incomplete and finalsOf are empty', async () => {
    const store = fileStore({ directory: join(folder(), 'none') })
    assert.equal(await store.get('x'), null)
    assert.deepEqual(await list(store.incomplete()), [])
    assert.deepEqual(await store.finalsOf('x'), [])
  })

  test('an id that is taken, alone or by ten at once: exists, and one winner keeps its record', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) => fileStore({ directory }).create(planned('a/b', { length: n }))),
    )
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    assert.equal(won.length, 1)
    assert.deepEqual(await store.get('a/b'), won[0])
    await assert.rejects(store.create(planned('a/b')), storeError('exists'))
    assert.deepEqual(fs.readdirSync(join(directory, '.tmp')), [])
  })

  test('a file without a record: unknown, its name is taken, it is left alone', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    fs.writeFileSync(join(directory, 'mine'), 'precious')
    assert.equal(await store.get('mine'), null)
    await assert.rejects(store.create(planned('mine')), storeError('exists'))
    await assert.rejects(store.create(planned('mine/below')), storeError('exists'))
    assert.equal(fs.readFileSync(join(directory, 'mine'), 'utf8'), 'precious')
    assert.deepEqual(await list(store.incomplete()), [])
  })

  test('a foreign .info file or folder: the name is taken, it is left alone, no data file stays', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    fs.writeFileSync(join(directory, 'a.info'), 'precious')
    fs.mkdirSync(join(directory, 'b.info'))
    for (const id of ['a', 'b']) {
      await assert.rejects(store.create(planned(id)), storeError('exists'))
      assert.equal(fs.existsSync(join(directory, id)), false)
    }
    assert.equal(fs.readFileSync(join(directory, 'a.info'), 'utf8'), 'precious')
    assert.equal(await store.get('b'), null)
  })

  test('an upload and a folder of one name: the later one is refused', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    await store.create(planned('a/b'))
    await assert.rejects(store.create(planned('a')), storeError('exists'))
    await assert.rejects(store.create(planned('a/b/c')), storeError('exists'))
    assert.equal(await store.get('a'), null)
    assert.ok(await store.get('a/b'))
  })

  const impossible = [
    '../x',
    'a/../../x',
    '/etc/x',
    '.tmp/x',
    'a/.x',
    '',
    'a//b',
    'a\0',
    'x.info',
    'x.INFO/y',
    'ü'.repeat(130),
  ]
  for (const id of impossible) {
    test(`id ${JSON.stringify(id.slice(0, 20))}: create throws a TypeError, get is null, nothing is written`, async () => {
      const parent = folder()
      const store = fileStore({ directory: join(parent, 'data') })
      await assert.rejects(store.create(planned(id)), TypeError)
      assert.equal(await store.get(id), null)
      assert.deepEqual(fs.readdirSync(parent), [])
    })
  }

  test('the disk is gone (another one is mounted there, or the directory removed): unavailable, not unknown', async (t) => {
    const directory = folder()
    const store = fileStore({ directory })
    await store.create(planned('a'))
    assert.equal(await store.get('b'), null)
    fs.renameSync(directory, `${directory}-moved`)
    for (const use of [store.get('a'), store.create(planned('c')), store.check()]) {
      await assert.rejects(use, storeError('unavailable', /is gone/))
    }
    assert.equal(fs.existsSync(directory), false)
    fs.mkdirSync(directory)
    const { dev } = fs.statSync(directory)
    const real = fs.statSync
    t.mock.method(fs, 'statSync', (path: string, options: fs.StatSyncOptions) => {
      const stats = real(path, options)
      return path === directory && stats ? Object.assign(stats, { dev: dev + 1 }) : stats
    })
    await assert.rejects(store.get('a'), storeError('unavailable', /another disk/))
    await assert.rejects(store.create(planned('c')), storeError('unavailable', /another disk/))
    assert.deepEqual(fs.readdirSync(directory), [])
  })
})

describe('fileStore, terminate and read', () => {
  test('terminate: bytes, record and emptied folders go, others stay; again is fine', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await stored(store, 'a/b/c', 'data')
    await store.create(planned('a/d'))
    await store.terminate(upload)
    await store.terminate(upload)
    assert.equal(await store.get('a/b/c'), null)
    assert.deepEqual(fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort(), [
      '.tmp',
      'a',
      'a/d',
      'a/d.info',
    ])
    await store.terminate((await store.get('a/d'))!)
    assert.deepEqual(fs.readdirSync(directory), ['.tmp'])
  })

  test('terminate beside creates in the same folder, over and over: no create fails', async () => {
    const directory = folder()
    const stores = [fileStore({ directory }), fileStore({ directory })]
    await Promise.all(
      stores.map(async (store, who) => {
        for (let n = 0; n < 100; n++) {
          const upload = await store.create(planned(`a/b/${who}-${n}`, { length: 1 }))
          await store.terminate(await store.append(upload, bodyOf('x')))
        }
      }),
    )
    assert.deepEqual(fs.readdirSync(directory), ['.tmp'])
  })

  test('read: any range, byte for byte', async () => {
    const store = fileStore({ directory: folder() })
    const bytes = pattern(1_000_001)
    const upload = await stored(store, 'x', bytes)
    for (const [start, end] of [
      [0, 1_000_001],
      [0, 1],
      [1_000_000, 1_000_001],
      [262_143, 262_145],
      [1, 524_289],
      [5, 5],
    ] as const) {
      assert.ok(bytes.subarray(start, end).equals(await collect(store.read(upload, { start, end }))), `${start}-${end}`)
    }
  })

  test('read is left early, or the bytes are gone: the file is closed', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await stored(store, 'x', pattern(2 * MiB))
    const open = (): string[] => openFiles().filter((path) => path === join(directory, 'x'))
    for await (const chunk of store.read(upload, { start: 0, end: 2 * MiB })) {
      assert.ok(chunk.length > 0)
      assert.equal(open().length, 1)
      break
    }
    assert.deepEqual(open(), [])
    fs.truncateSync(join(directory, 'x'), MiB)
    await assert.rejects(
      collect(store.read(upload, { start: 0, end: 2 * MiB })),
      storeError('corrupt', /ends at byte 1048576/),
    )
    assert.deepEqual(open(), [])
    fs.unlinkSync(join(directory, 'x'))
    await assert.rejects(collect(store.read(upload, { start: 0, end: 1 })), storeError('unavailable'))
  })

  test('incomplete: every record that is not completed, in subfolders too, and nothing else', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    await stored(store, 'done', 'x')
    const expected = ['a', 'b/c', 'b/d/e']
    for (const id of expected) await store.create(planned(id))
    await store.append((await store.get('a'))!, bodyOf('abc'))
    await store.create(planned('final', { concat: { type: 'final', value: 'v', partials: ['a'] } }))
    fs.writeFileSync(join(directory, 'foreign.info'), '{}')
    fs.mkdirSync(join(directory, 'folder.info'))
    plantOddities(directory)
    const found = await list(store.incomplete())
    assert.deepEqual(found.map(({ id }) => id).sort(), [...expected, 'final'])
    assert.equal(found.find(({ id }) => id === 'a')?.offset, 3)
  })

  test('records and folders that may not be read: incomplete skips them; get throws, as there may be an upload', async (t) => {
    const directory = folder()
    const store = fileStore({ directory })
    for (const id of ['a', 'b', 'closed/c']) await store.create(planned(id))
    const { openSync } = fs
    const denied = Object.assign(new Error('EACCES: open'), { code: 'EACCES' })
    t.mock.method(fs, 'openSync', (path: string, ...rest: [string]) => {
      if (path === join(directory, 'b.info')) throw denied
      return openSync(path, ...rest)
    })
    assert.deepEqual((await list(store.incomplete())).map(({ id }) => id).sort(), ['a', 'closed/c'])
    await assert.rejects(store.get('b'), storeError('unavailable', /EACCES/))
    if (process.getuid?.() === 0) return t.diagnostic('root may read every folder')
    fs.chmodSync(join(directory, 'closed'), 0)
    assert.deepEqual(
      (await list(store.incomplete())).map(({ id }) => id),
      ['a'],
    )
    fs.chmodSync(join(directory, 'closed'), 0o755)
  })

  test('no file, or far too large, where a record would be: unknown or corrupt, the name is taken, it stays', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    for (const id of plantOddities(directory)) {
      if (id === 'backup') await assert.rejects(store.get(id), storeError('corrupt', /3221225472 bytes/))
      else assert.equal(await store.get(id), null, id)
      fs.rmSync(join(directory, id), { force: true })
      await assert.rejects(store.create(planned(id)), storeError('exists'), id)
      assert.ok(fs.lstatSync(join(directory, `${id}.info`)))
      assert.equal(fs.existsSync(join(directory, id)), false)
    }
  })
})

/** What a person or another program may leave beside uploads; tells the ids that they look like. */
function plantOddities(directory: string): string[] {
  const at = (name: string): string => join(directory, name)
  fs.writeFileSync(at('backup.info'), '')
  // Sparse: takes no space.
  fs.truncateSync(at('backup.info'), 3 * 1024 ** 3)
  fs.symlinkSync('loop-b.info', at('loop-a.info'))
  fs.symlinkSync('loop-a.info', at('loop-b.info'))
  fs.symlinkSync('nowhere', at('dangling.info'))
  if (process.platform !== 'win32') execFileSync('mkfifo', [at('pipe.info')])
  const ids = fs.readdirSync(directory).flatMap((name) => (/^(.*)\.info$/.exec(name) ?? []).slice(1, 2))
  const odd = ids.filter((id) => /^(backup|loop|dangling|pipe)/.test(id))
  for (const id of odd) fs.writeFileSync(at(id), 'data')
  return odd
}
