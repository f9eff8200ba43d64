/** What no protocol can show of the store of docs/writing-a-store.md: crashes, fences, a storage that fails. */
import './from-source.ts'
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { bodyOf, collect, folders, list, pattern, storeError } from '../files/support.ts'
import { planned } from '../support/planned.ts'

const { sqliteStore } = await import('../../examples/store/sqlite.ts')
const folder = folders()
const MiB = 1 << 20

function open(path = join(folder(), 'uploads.db')) {
  const store = sqliteStore(path)
  return { path, store, [Symbol.dispose]: () => store.close() }
}

async function killWhileAppending(path: string, mode: 'plain' | 'atomic'): Promise<number> {
  const child = fork(new URL('append-child.ts', import.meta.url), [path, mode])
  let told = 0
  await new Promise<void>((done, fail) => {
    child.on('message', (message) => (typeof message === 'number' ? (told = message) : done()))
    child.once('exit', (code) => fail(new Error(`the child ended with ${code}`)))
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  return told
}

test('a process killed while it appends: the offset that was told survives, and its bytes', async () => {
  using first = open()
  await first.store.create(planned('x', { length: 4 * MiB }))
  const told = await killWhileAppending(first.path, 'plain')
  assert.equal(told, 3 * MiB)
  using again = open(first.path)
  const upload = (await again.store.get('x'))!
  assert.equal(upload.offset, told)
  const after = await again.store.append(upload, bodyOf('end'))
  const bytes = await collect(again.store.read!(after, { start: 0, end: after.offset }))
  assert.deepEqual(bytes, Buffer.concat([Buffer.alloc(3 * MiB, 'n'), Buffer.from('end')]))
})

test('a process killed before a checksum was verified: nothing of that body counts, nor comes back', async () => {
  using first = open()
  await first.store.create(planned('x', { length: 8 * MiB }))
  await killWhileAppending(first.path, 'atomic')
  using again = open(first.path)
  const upload = (await again.store.get('x'))!
  assert.equal(upload.offset, 0)
  const wanted = pattern(2 * MiB + 5)
  const after = await again.store.append(upload, bodyOf(wanted.subarray(0, 5), wanted.subarray(5)))
  assert.deepEqual(await collect(again.store.read!(after, { start: 0, end: after.offset })), wanted)
})

test('a holder that was paused while another one wrote: lock_lost, and nothing of it is written', async () => {
  using one = open()
  using two = open(one.path)
  const stale = await one.store.create(planned('x', { length: 10 }))
  const current = await two.store.append((await two.store.get('x'))!, bodyOf('hello'))
  await assert.rejects(one.store.append(stale, bodyOf('STALE')), storeError('lock_lost'))
  await assert.rejects(one.store.update(stale, { completed: true }), storeError('lock_lost'))
  assert.deepEqual(await one.store.get('x'), current)
  assert.equal(String(await collect(one.store.read!(current, { start: 0, end: 5 }))), 'hello')
})

test('a guard that throws: nothing is written after it, and what was before stays', async () => {
  using one = open()
  const upload = await one.store.create(planned('x'))
  let calls = 0
  const guard = () => {
    if (++calls === 2) throw new Error('lost')
  }
  const bytes = pattern(2 * MiB)
  await assert.rejects(one.store.append(upload, bodyOf(bytes), { guard }), /lost/)
  assert.equal((await one.store.get('x'))?.offset, MiB)
})

test('a body that throws after 2 MiB were stored: as if it had never been, whatever the mode', async () => {
  for (const atomic of [false, true]) {
    using one = open()
    const before = await one.store.append(await one.store.create(planned('x')), bodyOf('hello'))
    const body = bodyOf(pattern(2 * MiB), 'x', new RangeError('too long'))
    await assert.rejects(one.store.append(before, body, { atomic }), RangeError)
    const after = (await one.store.get('x'))!
    assert.equal(after.offset, 5)
    const read = one.store.read!(after, { start: 0, end: 6 })
    await assert.rejects(collect(read), storeError('corrupt'))
  }
})

test('a storage that cannot be asked: unavailable from every method, never an unknown upload', async () => {
  using one = open()
  const { store } = one
  const upload = await store.create(planned('x'))
  const broken = sqliteStore(one.path)
  broken.close()
  const failed = storeError('unavailable')
  await assert.rejects(broken.get('x'), failed)
  await assert.rejects(broken.create(planned('y')), failed)
  await assert.rejects(broken.append(upload, bodyOf('x')), failed)
  await assert.rejects(broken.terminate(upload), failed)
  await assert.rejects(list(broken.incomplete()), failed)
  await assert.rejects(broken.finalsOf!('x'), failed)
})
