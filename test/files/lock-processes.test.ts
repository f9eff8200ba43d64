import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, test } from 'node:test'
import { fsLocker } from '../../src/lockers/fs.ts'
import { type Child, startChild } from './children.ts'
import { files, folders, never, settled, soon } from './support.ts'

const newFolder = folders()
const folder = (): string => join(newFolder(), '.locks')

const children: Child[] = []
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()))
})
async function child(directory: string): Promise<Child> {
  const started = await startChild(directory)
  children.push(started)
  return started
}

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
