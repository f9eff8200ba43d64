import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { StoreError } from '../../src/errors.ts'
import { fsLocker } from '../../src/lockers/fs.ts'
import { files, folders, never, settled, soon } from './support.ts'

const newFolder = folders()
const folder = (): string => join(newFolder(), '.locks')

describe('fsLocker, locks of others', () => {
  const stranger = { host: 'elsewhere', boot: 'b', pidNamespace: 'n', pid: 1, start: '1', uuid: 'u' }

  function plant(directory: string, name: string, content: string, ageMs: number): string {
    fs.mkdirSync(directory, { recursive: true })
    const path = join(directory, name)
    fs.writeFileSync(path, content)
    beat(path, ageMs)
    return path
  }
  function beat(path: string, ageMs: number): void {
    const time = new Date(Date.now() - ageMs)
    fs.utimesSync(path, time, time)
  }

  test('of another machine with a fresh heartbeat: kept', async () => {
    const directory = folder()
    plant(directory, 'a.lock', JSON.stringify(stranger), 0)
    assert.equal(await fsLocker({ directory }).tryAcquire('a'), null)
    await assert.rejects(fsLocker({ directory }).acquire('a', { signal: soon(50) }), { name: 'TimeoutError' })
    assert.deepEqual(files(directory), ['a.lock'])
  })

  test('of another machine, its last heartbeat a minute ago: taken over', async () => {
    const directory = folder()
    plant(directory, 'a.lock', JSON.stringify(stranger), 61_000)
    const lock = await fsLocker({ directory }).tryAcquire('a')
    assert.ok(lock)
    await lock.release()
    assert.deepEqual(files(directory), [])
  })

  test('of another machine whose clock is 20 s behind: watched instead, and taken over after 15 s of silence', async (t) => {
    const directory = folder()
    plant(directory, 'a.lock', JSON.stringify(stranger), 20_000)
    const locker = fsLocker({ directory })
    let now = 1_000
    t.mock.method(performance, 'now', () => now)
    assert.equal(await locker.tryAcquire('a'), null)
    now += 14_000
    assert.equal(await locker.tryAcquire('a'), null)
    beat(join(directory, 'a.lock'), 19_000)
    now += 2_000
    assert.equal(await locker.tryAcquire('a'), null)
    now += 15_001
    assert.ok(await locker.tryAcquire('a'))
  })

  test('of another container on this machine: taken over 15 s after its last heartbeat', async (t) => {
    const directory = folder()
    const locker = fsLocker({ directory })
    await (await locker.acquire('x', { signal: never() })).release()
    const [file] = files(join(directory, 'owner'))
    const own = JSON.parse(fs.readFileSync(join(directory, 'owner', file!), 'utf8')) as typeof stranger
    if (own.boot === null) return t.diagnostic('this system has no boot id: another machine is all it can see')
    const neighbour = JSON.stringify({ ...own, uuid: 'u', pidNamespace: 'pid:[1]', pid: 7 })
    const path = plant(directory, 'a.lock', neighbour, 14_000)
    assert.equal(await locker.tryAcquire('a'), null)
    beat(path, 15_500)
    assert.ok(await locker.tryAcquire('a'))
  })

  test('of a process of this machine that is no more, or whose number another one has: taken over at once', async (t) => {
    const directory = folder()
    const locker = fsLocker({ directory })
    await (await locker.acquire('x', { signal: never() })).release()
    const [file] = files(join(directory, 'owner'))
    const own = JSON.parse(fs.readFileSync(join(directory, 'owner', file!), 'utf8')) as typeof stranger
    assert.equal(own.host, hostname())
    if (own.start === null) return t.diagnostic('this system tells no start times')
    plant(directory, 'a.lock', JSON.stringify({ ...own, uuid: 'u', start: '1' }), 0)
    assert.ok(await locker.tryAcquire('a'))
  })

  test('of another locker of this thread, which was busy for an hour: kept', async () => {
    const directory = folder()
    const [one, two] = [fsLocker({ directory }), fsLocker({ directory })]
    const lock = await one.acquire('a', { signal: never() })
    beat(join(directory, 'a.lock'), 60 * 60_000)
    assert.equal(await two.tryAcquire('a'), null)
    await lock.guard?.()
    await lock.release()
  })

  test('of a worker thread that was terminated: kept while its heartbeat is fresh, had 15 s after the last one', async () => {
    const directory = folder()
    const worker = new Worker(new URL('locker-worker.ts', import.meta.url), { workerData: directory })
    await once(worker, 'message')
    const locker = fsLocker({ directory })
    assert.equal(await locker.tryAcquire('a'), null)
    await worker.terminate()
    beat(join(directory, 'a.lock'), 14_000)
    assert.equal(await locker.tryAcquire('a'), null)
    beat(join(directory, 'a.lock'), 15_500)
    const lock = await locker.tryAcquire('a')
    assert.ok(lock)
    await lock.release()
    assert.deepEqual(files(directory), [])
  })

  for (const [what, content] of [
    ['empty', ''],
    ['no JSON', '{"host":'],
    ['another shape', '{"pid":-1}'],
    ['huge', 'x'.repeat(100_000)],
  ] as const) {
    test(`lock file ${what}: kept while it is fresh, taken over when it is old`, async () => {
      const directory = folder()
      const path = plant(directory, 'a.lock', content, 0)
      const locker = fsLocker({ directory })
      assert.equal(await locker.tryAcquire('a'), null)
      beat(path, 61_000)
      assert.ok(await locker.tryAcquire('a'))
    })
  }

  test('a dead thief left its theft lock: the next one steals both', async () => {
    const directory = folder()
    plant(directory, 'a.lock', JSON.stringify(stranger), 61_000)
    plant(directory, 'a.lock~', JSON.stringify(stranger), 61_000)
    const lock = await fsLocker({ directory }).tryAcquire('a')
    assert.ok(lock)
    await lock.release()
    assert.deepEqual(files(directory), [])
  })

  test('a live thief is at work: the lock is not touched', async () => {
    const directory = folder()
    plant(directory, 'a.lock', JSON.stringify(stranger), 61_000)
    plant(directory, 'a.lock~', JSON.stringify(stranger), 0)
    assert.equal(await fsLocker({ directory }).tryAcquire('a'), null)
    assert.deepEqual(files(directory).sort(), ['a.lock', 'a.lock~'])
  })

  test('the want of a dead waiter: removed, the holder is not disturbed', async () => {
    const directory = folder()
    const locker = fsLocker({ directory })
    let asked = 0
    const lock = await locker.acquire('a', { signal: never(), onContention: () => asked++ })
    const want = plant(join(directory, 'want'), 'a@u-1', JSON.stringify(stranger), 61_000)
    while (fs.existsSync(want)) await settled()
    assert.equal(asked, 0)
    await lock.release()
  })

  test('taken over during a long pause: guard throws lock_lost, release leaves the new lock alone', async (t) => {
    const directory = folder()
    const locker = fsLocker({ directory })
    const lock = await locker.acquire('a', { signal: never() })
    await lock.guard?.()
    fs.unlinkSync(join(directory, 'a.lock'))
    plant(directory, 'a.lock', JSON.stringify(stranger), 0)
    const now = Date.now()
    t.mock.method(Date, 'now', () => now + 20_000)
    assert.throws(
      () => lock.guard?.(),
      (error) => error instanceof StoreError && error.code === 'lock_lost',
    )
    await lock.release()
    assert.deepEqual(files(directory), ['a.lock'])
  })

  for (const pauseMs of [0, 20_000]) {
    test(`taken over, ${pauseMs} ms after the last heartbeat, and not noticed: release leaves the new lock alone`, async (t) => {
      const directory = folder()
      const locker = fsLocker({ directory })
      const lock = await locker.acquire('a', { signal: never() })
      fs.unlinkSync(join(directory, 'a.lock'))
      plant(directory, 'a.lock', JSON.stringify(stranger), 0)
      const now = Date.now()
      t.mock.method(Date, 'now', () => now + pauseMs)
      await lock.release()
      assert.deepEqual(files(directory), ['a.lock'])
    })
  }

  test('a long pause in which nobody came: guard finds the lock in place', async (t) => {
    const directory = folder()
    const locker = fsLocker({ directory })
    const lock = await locker.acquire('a', { signal: never() })
    const now = Date.now()
    t.mock.method(Date, 'now', () => now + 20_000)
    await lock.guard?.()
    await lock.release()
    assert.deepEqual(files(directory), [])
  })
})
