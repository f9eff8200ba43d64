import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { StoreError } from '../src/errors.ts'
import type { Lock, Locker } from '../src/locker.ts'
import { durableObjectLocker, type LockNamespace } from '../src/lockers/durable-object.ts'
import { fsLocker } from '../src/lockers/fs.ts'
import { memoryLocker } from '../src/lockers/memory.ts'
import { files, folders, never, settled, soon } from './files/support.ts'
import { startWorker } from './runtimes/workerd.ts'
import { until } from './suites/support.ts'

const newFolder = folders()
const folder = (): string => join(newFolder(), '.locks')

/** Its Durable Objects are in workerd; the locker itself is here, as in an isolate of its own. */
const miniflare = await startWorker('test/runtimes/worker.ts', false)
after(() => miniflare.dispose())
const locks = (await miniflare.getDurableObjectNamespace('LOCKS')) as unknown as LockNamespace

let made = 0
/** Other objects for each locker. */
const ownLocks = (): LockNamespace => {
  const prefix = `${++made}:`
  return { idFromName: (name) => locks.idFromName(prefix + name), get: (id) => locks.get(id) }
}

/** Lets what is on its way to whom it may concern arrive. */
type Settle = (locker: Locker) => Promise<unknown>

const inTurn: Settle = () => settled()
/** Later messages to an object overtake no earlier ones. */
const inObject: Settle = async (locker) => {
  for (let i = 0; i < 5; i++) await locker.isFree?.('a')
}

for (const [name, make, settle] of [
  ['memoryLocker', () => memoryLocker(), inTurn],
  ['fsLocker', () => fsLocker({ directory: folder() }), inTurn],
  ['durableObjectLocker', () => durableObjectLocker(ownLocks()), inObject],
] as [string, () => Locker, Settle][]) {
  describe(`${name}, in one process`, () => {
    test('acquire of a free id: had at once, and free again after the release', async () => {
      const locker = make()
      const lock = await locker.acquire('a', { signal: never() })
      await lock.guard?.()
      assert.equal(await locker.tryAcquire('a'), null)
      await lock.release()
      const again = await locker.tryAcquire('a')
      assert.ok(again)
      await again.release()
    })

    test('isFree: true until the lock is had, and again after its release; others do not matter', async () => {
      const locker = make()
      assert.equal(await locker.isFree?.('a'), true)
      const lock = await locker.acquire('a', { signal: never() })
      assert.deepEqual([await locker.isFree?.('a'), await locker.isFree?.('b')], [false, true])
      const waiter = locker.acquire('a', { signal: never() })
      await lock.release()
      assert.equal(await locker.isFree?.('a'), false)
      await (await waiter).release()
      assert.equal(await locker.isFree?.('a'), true)
    })

    test('acquire by several: served in order of arrival, each after the release before', async () => {
      const locker = make()
      const order: number[] = []
      let inside = 0
      await Promise.all(
        [1, 2, 3, 4, 5].map(async (n) => {
          for (let i = 1; i < n; i++) await settle(locker)
          const lock = await locker.acquire('a', { signal: never() })
          assert.equal(++inside, 1)
          await settle(locker)
          order.push(n)
          inside--
          await lock.release()
        }),
      )
      assert.deepEqual(order, [1, 2, 3, 4, 5])
    })

    test('other ids: not held up', async () => {
      const locker = make()
      const one = await locker.acquire('a', { signal: never() })
      const two = await locker.acquire('a/b', { signal: soon(5_000) })
      await one.release()
      await two.release()
    })

    test('a waiter arrives: the holder is asked once, however many follow', async () => {
      const locker = make()
      let asked = 0
      const lock = await locker.acquire('a', { signal: never(), onContention: () => asked++ })
      assert.equal(asked, 0)
      const waiters = [1, 2, 3].map(() => locker.acquire('a', { signal: never() }))
      await until(() => asked > 0, 'the holder is asked')
      await settle(locker)
      assert.equal(asked, 1)
      await lock.release()
      for (const waiter of waiters) await (await waiter).release()
    })

    test('others wait already when the lock is had: the new holder is asked, once', async () => {
      const locker = make()
      let asked = 0
      const first = await locker.acquire('a', { signal: never() })
      const second = locker.acquire('a', { signal: never(), onContention: () => asked++ })
      const third = locker.acquire('a', { signal: never() })
      await first.release()
      const lock = await second
      await until(() => asked > 0, 'the new holder is asked')
      assert.equal(asked, 1)
      const fourth = locker.acquire('a', { signal: never() })
      await settle(locker)
      assert.equal(asked, 1)
      await lock.release()
      await (await third).release()
      await (await fourth).release()
    })

    test('tryAcquire of a held id: null, and the holder is not disturbed', async () => {
      const locker = make()
      let asked = 0
      const lock = await locker.acquire('a', { signal: never(), onContention: () => asked++ })
      assert.equal(await locker.tryAcquire('a'), null)
      await settle(locker)
      assert.equal(asked, 0)
      await lock.release()
    })

    test('the signal aborts a wait: its reason is thrown, the queue goes on without it', async () => {
      const locker = make()
      const lock = await locker.acquire('a', { signal: never() })
      const abort = new AbortController()
      const gone = locker.acquire('a', { signal: abort.signal })
      const stays = locker.acquire('a', { signal: never() })
      const reason = new Error('enough')
      abort.abort(reason)
      await assert.rejects(gone, reason)
      await lock.release()
      await (await stays).release()
      assert.ok(await locker.tryAcquire('a'))
    })

    test('the signal has aborted before: rejects, and the id stays free', async () => {
      const locker = make()
      const reason = new Error('too late')
      await assert.rejects(locker.acquire('a', { signal: AbortSignal.abort(reason) }), reason)
      assert.ok(await locker.tryAcquire('a'))
    })

    test('the signal aborts after the lock was had: no effect', async () => {
      const locker = make()
      const abort = new AbortController()
      const first = await locker.acquire('a', { signal: abort.signal })
      const waited = locker.acquire('a', { signal: abort.signal })
      await first.release()
      const lock = await waited
      abort.abort()
      await lock.guard?.()
      assert.equal(await locker.tryAcquire('a'), null)
      await lock.release()
    })

    test('release twice: the second one frees nobody else', async () => {
      const locker = make()
      const first = await locker.acquire('a', { signal: never() })
      await first.release()
      const second = await locker.acquire('a', { signal: never() })
      await first.release()
      assert.equal(await locker.tryAcquire('a'), null)
      await second.release()
    })
  })
}

describe('fsLocker, its files', () => {
  test('made: nothing is read or written before the first use; a bad directory is a TypeError', () => {
    const directory = folder()
    fsLocker({ directory })
    assert.equal(fs.existsSync(directory), false)
    for (const bad of ['', 'a\0b', undefined]) {
      assert.throws(() => fsLocker({ directory: bad as string }), TypeError)
    }
  })

  test('hostile and long ids: a file inside the folder, one for each', async () => {
    const directory = folder()
    const locker = fsLocker({ directory })
    const ids = ['../../etc/passwd', 'a/b', 'a%2Fb', 'x'.repeat(500), `${'x'.repeat(499)}y`, 'ä'.repeat(200), '@', '=']
    const locks: Lock[] = []
    for (const id of ids) locks.push(await locker.acquire(id, { signal: never() }))
    assert.equal(files(directory).length, ids.length)
    for (const lock of locks) await lock.release()
    assert.deepEqual(files(directory), [])
  })

  test('two lockers on one folder: the second waits, the first is asked, no file is left', async () => {
    const directory = folder()
    const [one, two] = [fsLocker({ directory }), fsLocker({ directory })]
    const asked = Promise.withResolvers<void>()
    const lock = await one.acquire('a', { signal: never(), onContention: asked.resolve })
    assert.equal(await two.tryAcquire('a'), null)
    const waiting = two.acquire('a', { signal: soon(5_000) })
    await asked.promise
    await lock.release()
    await (await waiting).release()
    assert.deepEqual(files(directory), [])
    assert.deepEqual(files(join(directory, 'want')), [])
  })

  test('isFree at another locker: false while the lock is held, or cannot be looked at', async () => {
    const directory = folder()
    const [one, two] = [fsLocker({ directory }), fsLocker({ directory })]
    const lock = await one.acquire('a', { signal: never() })
    assert.deepEqual([await two.isFree('a'), await two.isFree('b')], [false, true])
    await lock.release()
    assert.equal(await two.isFree('a'), true)
    fs.symlinkSync('a.lock', join(directory, 'a.lock'))
    assert.equal(await two.isFree('a'), false)
  })

  test('waiters elsewhere and in this process: the holder is asked once', async () => {
    const directory = folder()
    const [one, two] = [fsLocker({ directory }), fsLocker({ directory })]
    const asked = Promise.withResolvers<void>()
    let times = 0
    const onContention = (): void => {
      times++
      asked.resolve()
    }
    const lock = await one.acquire('a', { signal: never(), onContention })
    const elsewhere = two.acquire('a', { signal: soon(10_000) })
    await asked.promise
    const here = one.acquire('a', { signal: soon(10_000) })
    await settled()
    assert.equal(times, 1)
    await lock.release()
    await Promise.all([elsewhere, here].map(async (waiting) => (await waiting).release()))
  })

  test('a wait between lockers is aborted: rejects with the reason, no want is left, the holder keeps the lock', async () => {
    const directory = folder()
    const [one, two] = [fsLocker({ directory }), fsLocker({ directory })]
    const asked = Promise.withResolvers<void>()
    const lock = await one.acquire('a', { signal: never(), onContention: asked.resolve })
    const abort = new AbortController()
    const waiting = two.acquire('a', { signal: abort.signal })
    await asked.promise
    const reason = new Error('enough')
    abort.abort(reason)
    await assert.rejects(waiting, reason)
    assert.deepEqual(files(join(directory, 'want')), [])
    await lock.guard?.()
    await lock.release()
    assert.ok(await two.tryAcquire('a'))
  })

  test('somebody clears the folder: guard tells the loss of the lock, and the next one is had', async () => {
    const directory = folder()
    const locker = fsLocker({ directory })
    const lock = await locker.acquire('a', { signal: never() })
    fs.rmSync(directory, { recursive: true })
    await lock.release()
    const next = await locker.acquire('a', { signal: soon(5_000) })
    assert.deepEqual(files(directory), ['a.lock'])
    await next.release()
  })

  test('no hard link can be made (the folder is a file): StoreError unavailable, in this process all is free', async () => {
    const directory = folder()
    fs.mkdirSync(join(directory, '..'), { recursive: true })
    fs.writeFileSync(directory, '')
    const locker = fsLocker({ directory })
    const unavailable = (error: unknown): boolean => error instanceof StoreError && error.code === 'unavailable'
    await assert.rejects(locker.acquire('a', { signal: never() }), unavailable)
    await assert.rejects(locker.tryAcquire('a'), unavailable)
    fs.unlinkSync(directory)
    await (await locker.acquire('a', { signal: soon(5_000) })).release()
  })
})
