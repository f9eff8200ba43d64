import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { fsLocker } from '../../src/lockers/fs.ts'
import { fileStore } from '../../src/stores/fs.ts'
import { planned } from '../support/planned.ts'
import { bodyOf, collect, files, folders, mountTmpfs, never, pattern, soon, stored, storeError } from './support.ts'

const folder = folders()
const MiB = 1 << 20

type Disk = Exclude<ReturnType<typeof mountTmpfs>, string>

/** Runs a test on a small disk of its own. */
async function onDisk(t: TestContext, work: (directory: string, disk: Disk) => Promise<void>): Promise<void> {
  const directory = folder()
  const disk = mountTmpfs(directory, '8m')
  if (typeof disk === 'string') {
    if (process.env['CI']) assert.fail(disk)
    t.skip(disk)
    return
  }
  try {
    await work(directory, disk)
  } finally {
    disk.unmount()
  }
}

/** Takes all space but so much. */
function fill(directory: string, left: number): string {
  const { bavail, bsize } = fs.statfsSync(directory)
  const path = join(directory, '.ballast')
  fs.writeFileSync(path, Buffer.alloc(bavail * bsize - left))
  return path
}

describe('fileStore, on a disk that is full or read-only', () => {
  test('plain append: full (507); what was written stays and counts, and it goes on when there is room', (t) =>
    onDisk(t, async (directory) => {
      const store = fileStore({ directory })
      const bytes = pattern(5 * MiB)
      const upload = await store.create(planned('x', { length: bytes.length }))
      const ballast = fill(directory, 2.5 * MiB)
      const body = bodyOf(...Array.from({ length: 80 }, (_, n) => bytes.subarray(n * 65_536, (n + 1) * 65_536)))
      await assert.rejects(store.append(upload, body), storeError('full'))
      const kept = await store.get('x')
      assert.ok(kept!.offset > 2 * MiB && kept!.offset <= 2.5 * MiB, `offset ${kept!.offset}`)
      fs.unlinkSync(ballast)
      const after = await store.append(kept!, bodyOf(bytes.subarray(kept!.offset)))
      await store.update(after, { completed: true })
      assert.ok(bytes.equals(await collect(store.read(after, { start: 0, end: bytes.length }))))
    }))

  for (const size of [MiB / 2, 4 * MiB]) {
    test(`atomic append of ${size} bytes: full (507); nothing of it counts or takes up room`, (t) =>
      onDisk(t, async (directory) => {
        const store = fileStore({ directory })
        const upload = await store.append(await store.create(planned('x')), bodyOf('before'))
        fill(directory, size / 2)
        const { bavail } = fs.statfsSync(directory)
        await assert.rejects(
          store.append(upload, bodyOf(pattern(size / 4), pattern(size)), { atomic: true }),
          storeError('full'),
        )
        assert.deepEqual(await store.get('x'), upload)
        assert.equal(fs.statSync(join(directory, 'x')).size, 6)
        assert.ok(fs.statfsSync(directory).bavail >= bavail - 1)
      }))
  }

  test('create and update: full (507); no half upload stays, the old record does', (t) =>
    onDisk(t, async (directory) => {
      const store = fileStore({ directory })
      const upload = await stored(store, 'x', 'data')
      fill(directory, 0)
      await assert.rejects(store.create(planned('y')), storeError('full'))
      await assert.rejects(store.update(upload, { expiresAt: 5 }), storeError('full'))
      await assert.rejects(store.check(), storeError('full'))
      assert.equal(await store.get('y'), null)
      assert.deepEqual(await store.get('x'), upload)
      assert.deepEqual(fs.readdirSync(directory).sort(), ['.ballast', '.tmp', 'x', 'x.info'])
      assert.deepEqual(fs.readdirSync(join(directory, '.tmp')), [])
    }))

  test('concatenate: full (507); partials and final as before, and it works when there is room', (t) =>
    onDisk(t, async (directory) => {
      const store = fileStore({ directory })
      const [one, two] = [pattern(MiB, 1), pattern(2 * MiB, 2)]
      const a = await stored(store, 'a', one, { concat: { type: 'partial' } })
      const b = await stored(store, 'b', two, { concat: { type: 'partial' } })
      const final = await store.create(planned('f', { concat: { type: 'final', value: 'v', partials: ['a', 'b'] } }))
      const ballast = fill(directory, 1.5 * MiB)
      for (const consumes of [true, false]) {
        await assert.rejects(store.concatenate(final, [a, b], { consumes }), storeError('full'))
        assert.deepEqual(await store.get('f'), final)
        assert.deepEqual(await store.get('a'), a)
      }
      fs.unlinkSync(ballast)
      const joined = await store.concatenate(final, [a, b])
      assert.ok(Buffer.concat([one, two]).equals(await collect(store.read(joined, { start: 0, end: 3 * MiB }))))
    }))

  test('read-only: every change is unavailable (503) and loses nothing, reading works', (t) =>
    onDisk(t, async (directory, disk) => {
      const store = fileStore({ directory })
      const upload = await store.append(await store.create(planned('x', { length: 8 })), bodyOf('data'))
      disk.readOnly()
      await assert.rejects(store.create(planned('y')), storeError('unavailable'))
      await assert.rejects(store.append(upload, bodyOf('more')), storeError('unavailable'))
      await assert.rejects(store.update(upload, { length: 4 }), storeError('unavailable'))
      await assert.rejects(store.terminate(upload), storeError('unavailable'))
      await assert.rejects(store.check(), storeError('unavailable'))
      assert.deepEqual(await store.get('x'), upload)
      assert.equal(String(await collect(store.read(upload, { start: 0, end: 4 }))), 'data')
    }))
})

describe('fsLocker, on a disk that is full', () => {
  test('no space for the owner file: locks work by heartbeat, and say who it is once there is space', (t) =>
    onDisk(t, async (directory) => {
      const store = fileStore({ directory })
      const upload = await stored(store, 'x', pattern(MiB))
      const locks = join(directory, '.locks')
      for (const name of ['owner', 'want']) fs.mkdirSync(join(locks, name), { recursive: true })
      const ballast = fill(directory, 0)
      const [one, two] = [fsLocker({ directory: locks }), fsLocker({ directory: locks })]
      const lock = await one.acquire('x', { signal: never() })
      const path = join(locks, 'x.lock')
      assert.equal(fs.readFileSync(path, 'utf8'), '')
      assert.equal(await two.tryAcquire('x'), null)
      await lock.guard?.()
      fs.unlinkSync(ballast)
      // The next heartbeat writes it; here the guard makes one, after a pause.
      const now = Date.now()
      t.mock.method(Date, 'now', () => now + 10_000)
      await lock.guard?.()
      assert.equal((JSON.parse(fs.readFileSync(path, 'utf8')) as { pid: number }).pid, process.pid)
      await store.terminate(upload)
      await lock.release()
      await (await two.acquire('x', { signal: soon(5_000) })).release()
      assert.deepEqual(files(locks), [])
    }))

  test('no file can be made at all (inodes): full (507), not something else', async (t) => {
    const directory = folder()
    const disk = mountTmpfs(directory, '8m,nr_inodes=5')
    if (typeof disk === 'string') {
      if (process.env['CI']) assert.fail(disk)
      t.skip(disk)
      return
    }
    try {
      const locks = join(directory, '.locks')
      for (const name of ['owner', 'want']) fs.mkdirSync(join(locks, name), { recursive: true })
      fs.writeFileSync(join(directory, 'last'), '')
      await assert.rejects(fsLocker({ directory: locks }).tryAcquire('x'), storeError('full'))
    } finally {
      disk.unmount()
    }
  })
})
