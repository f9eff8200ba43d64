import assert from 'node:assert/strict'
import fs from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, describe, test } from 'node:test'
import { StoreError } from '../src/errors.ts'
import type { Lock, Locker } from '../src/locker.ts'
import { fsLocker } from '../src/lockers/fs.ts'
import { memoryLocker } from '../src/lockers/memory.ts'
import { type Child, startChild } from './files/children.ts'

const root = fs.mkdtempSync(join(tmpdir(), 'fileloft-lockers-'))
after(() => fs.rmSync(root, { recursive: true, force: true }))
let folders = 0
const folder = (): string => join(root, String(++folders), '.locks')
const files = (path: string): string[] => fs.readdirSync(path).filter((name) => fs.statSync(join(path, name)).isFile())

const children: Child[] = []
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()))
})
async function child(directory: string): Promise<Child> {
  const started = await startChild(directory)
  children.push(started)
  return started
}

const never = (): AbortSignal => new AbortController().signal
const soon = (ms: number): AbortSignal => AbortSignal.timeout(ms)
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

for (const [name, make] of [
  ['memoryLocker', () => memoryLocker()],
  ['fsLocker', () => fsLocker({ directory: folder() })],
] as [string, () => Locker][]) {
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

    test('acquire by several: served in order of arrival, each after the release before', async () => {
      const locker = make()
      const order: number[] = []
      let inside = 0
      await Promise.all(
        [1, 2, 3, 4, 5].map(async (n) => {
          const lock = await locker.acquire('a', { signal: never() })
          assert.equal(++inside, 1)
          await settled()
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
      await settled()
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
      await settled()
      assert.equal(asked, 1)
      const fourth = locker.acquire('a', { signal: never() })
      await settled()
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
      await settled()
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
    const neighbour = JSON.stringify({ ...own, pidNamespace: 'pid:[1]', pid: 7 })
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
    plant(directory, 'a.lock', JSON.stringify({ ...own, start: '1' }), 0)
    assert.ok(await locker.tryAcquire('a'))
    plant(directory, 'b.lock', JSON.stringify(own), 60 * 60_000)
    assert.equal(await locker.tryAcquire('b'), null, 'the process runs: an old heartbeat does not matter')
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

describe('fsLocker, several processes', () => {
  test('kill -9 of the holder: its lock is had at once', async () => {
    const directory = folder()
    const other = await child(directory)
    other.tell({ do: 'acquire', id: 'a' })
    await other.news('held')
    const locker = fsLocker({ directory })
    assert.equal(await locker.tryAcquire('a'), null)
    await other.kill()
    const lock = await locker.tryAcquire('a')
    assert.ok(lock)
    await lock.release()
  })

  test('kill -9 of the holder while somebody waits: the waiter has it within seconds', async () => {
    const directory = folder()
    const other = await child(directory)
    other.tell({ do: 'acquire', id: 'a' })
    await other.news('held')
    const waiting = fsLocker({ directory }).acquire('a', { signal: soon(5_000) })
    await other.news('contended')
    await other.kill()
    await (await waiting).release()
  })

  test('a killed process: the next start removes its locks, wants and owner file', async () => {
    const directory = folder()
    const other = await child(directory)
    other.tell({ do: 'acquire', id: 'a' })
    await other.news('held')
    await other.kill()
    assert.deepEqual(files(directory), ['a.lock'])
    const lock = await fsLocker({ directory }).acquire('b', { signal: never() })
    assert.deepEqual(files(directory), ['b.lock'])
    assert.equal(files(join(directory, 'owner')).length, 1)
    await lock.release()
  })

  test('a stopped holder (SIGSTOP): not robbed; it goes on with its lock', async () => {
    const directory = folder()
    const other = await child(directory)
    other.tell({ do: 'acquire', id: 'a' })
    await other.news('held')
    other.signal('SIGSTOP')
    const [owner] = files(join(directory, 'owner'))
    const old = new Date(Date.now() - 3_600_000)
    fs.utimesSync(join(directory, 'owner', owner!), old, old)
    const locker = fsLocker({ directory })
    assert.equal(await locker.tryAcquire('a'), null)
    await assert.rejects(locker.acquire('a', { signal: soon(1_500) }), { name: 'TimeoutError' })
    other.signal('SIGCONT')
    other.tell({ do: 'guard' })
    assert.equal((await other.news('guarded')).lost, false)
    other.tell({ do: 'release' })
    await other.news('released')
    assert.ok(await locker.tryAcquire('a'))
  })

  test('a waiter in another process: the holder is asked quickly, and the waiter woken', async () => {
    const directory = folder()
    const [one, two] = [await child(directory), await child(directory)]
    one.tell({ do: 'acquire', id: 'a/ü' })
    await one.news('held')
    const began = performance.now()
    two.tell({ do: 'acquire', id: 'a/ü' })
    await one.news('contended')
    const asked = performance.now()
    assert.equal(two.has('held'), false)
    one.tell({ do: 'release' })
    await two.news('held')
    const woken = performance.now()
    // Both without waiting for the slow look, which comes once a second.
    assert.ok(asked - began < 900, `asked after ${asked - began} ms`)
    assert.ok(woken - asked < 900, `woken after ${woken - asked} ms`)
  })

  test('two wait in other processes: the second holder is asked as well', async () => {
    const directory = folder()
    const all = [await child(directory), await child(directory)]
    const locker = fsLocker({ directory })
    const lock = await locker.acquire('a', { signal: never() })
    for (const one of all) one.tell({ do: 'acquire', id: 'a' })
    const wants = join(directory, 'want')
    while (files(wants).length < 2) await settled()
    await lock.release()
    const turns = all.map(async (one) => {
      await one.news('held')
      return one
    })
    const first = await Promise.race(turns)
    await first.news('contended')
    first.tell({ do: 'release' })
    await Promise.all(turns)
    assert.deepEqual(files(wants), [])
  })

  test("requests keep coming to the holder's process: the waiter elsewhere has its turn", async () => {
    const directory = folder()
    const locker = fsLocker({ directory })
    const other = await child(directory)
    const asked = Promise.withResolvers<void>()
    let lock = await locker.acquire('a', { signal: never(), onContention: asked.resolve })
    other.tell({ do: 'acquire', id: 'a' })
    await asked.promise
    let rounds = 0
    while (!other.has('held') && rounds < 50) {
      const next = locker.acquire('a', { signal: soon(10_000), onContention: () => undefined })
      await lock.release()
      const had = await Promise.race([next, other.news('held')])
      if ('is' in had) {
        other.tell({ do: 'release' })
        lock = await next
        break
      }
      lock = had
      rounds++
    }
    await lock.release()
    assert.ok(rounds < 10, `${rounds} rounds before the other process had its turn`)
  })

  test('four processes hopping over three locks: never two inside one', async () => {
    const directory = folder()
    const log = join(directory, '..', 'log')
    const hoppers = await Promise.all([1, 2, 3, 4].map(() => child(directory)))
    for (const hopper of hoppers) hopper.tell({ do: 'hop', ids: ['a', 'b', 'c'], rounds: 150, log })
    await Promise.all(hoppers.map((hopper) => hopper.news('hopped')))
    const inside = new Map<string, string>()
    const lines = fs.readFileSync(log, 'utf8').trim().split('\n')
    assert.equal(lines.length, 4 * 150 * 2)
    for (const line of lines) {
      const [id, sign, pid] = line.split(' ') as [string, string, string]
      if (sign === '+') assert.equal(inside.get(id), undefined, line)
      else assert.equal(inside.get(id), pid, line)
      if (sign === '+') inside.set(id, pid)
      else inside.delete(id)
    }
    assert.deepEqual(files(directory), [])
  })

  test('thieves race for the lock of a dead process, again and again: one has it at a time', async () => {
    const directory = folder()
    const log = join(directory, '..', 'log')
    const thieves = await Promise.all([1, 2, 3].map(() => child(directory)))
    const dead = JSON.stringify({ host: 'gone', boot: 'b', pidNamespace: 'n', pid: 1, start: '1', uuid: 'u' })
    for (let round = 0; round < 20; round++) {
      const draft = join(directory, '..', 'draft')
      fs.mkdirSync(directory, { recursive: true })
      fs.writeFileSync(draft, dead)
      fs.utimesSync(draft, 1, 1)
      fs.linkSync(draft, join(directory, 'a.lock'))
      fs.unlinkSync(draft)
      for (const thief of thieves) thief.tell({ do: 'hop', ids: ['a'], rounds: 5, log })
      await Promise.all(thieves.map((thief) => thief.news('hopped')))
      assert.deepEqual(files(directory), [])
    }
    let inside: string | undefined
    for (const line of fs.readFileSync(log, 'utf8').trim().split('\n')) {
      const [, sign, pid] = line.split(' ')
      assert.equal(inside, sign === '+' ? undefined : pid, line)
      inside = sign === '+' ? pid : undefined
    }
  })
})
