/** The outbox as files: what a power cut cannot take, as far as syncing goes, and what a crash leaves. */
// Before what picks up the functions that it replaces.
import { takeSyncs } from '../files/syncs.ts'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createOutbox, newEvent, nameOf, type StoredEvent } from '../../src/node/hooks/outbox.ts'
import type { KeptType } from '../../src/node/hooks/types.ts'
import type { Shelf } from '../../src/node/hooks/shelf.ts'
import { fileShelf } from '../../src/node/hooks/shelf-files.ts'
import { memoryLocker } from '../../src/lockers/memory.ts'
import { temporaryDirectory } from '../cli-support.ts'

test('outbox in a directory: file and folder are synced before an event counts as stored, but for post-create', async () => {
  using directory = temporaryDirectory()
  const outbox = createOutbox(fileShelf(directory.path, memoryLocker()))
  const event = (type: KeptType): StoredEvent => ({
    ...newEvent({ type, eventId: `${type}_1`, headers: {}, body: '{}' }, { id: 'a', createdAt: 1 }, null),
    owner: outbox.self,
    leaseUntil: 0,
  })
  /** What is synced; an event's file still has its temporary name then. */
  const synced = () =>
    takeSyncs()
      .map((name) => (name.startsWith(outbox.self) ? 'event' : name))
      .sort()
  synced()

  await outbox.put('waiting', event('post-create'))
  // As durable as the upload that it tells of, whose record is not synced either.
  assert.deepEqual(synced(), [])
  let version = ''
  for (const type of ['post-finish', 'post-terminate'] as const) {
    version = await outbox.put('waiting', event(type))
    assert.deepEqual(synced(), ['event', 'waiting'], type)
  }
  assert.notEqual(await outbox.replace({ ...event('post-terminate'), attempts: 1 }, version), null)
  assert.deepEqual(synced(), ['event', 'waiting'])
  await outbox.put('dead', event('post-finish'))
  assert.deepEqual(synced(), ['dead', 'event'])
  await outbox.remove('waiting', nameOf(event('post-finish')))
  assert.deepEqual(await outbox.read('waiting', nameOf(event('post-finish'))), null)
  await outbox.close()
})

test('outbox in a directory: what a dead process was writing goes with the next event, what a live one writes stays', async () => {
  using directory = temporaryDirectory()
  const locker = memoryLocker()
  const put = (shelf: Shelf) => shelf.put('waiting/a', Buffer.from('{}'), { durable: false })
  const [living, next] = [fileShelf(directory.path, locker), fileShelf(directory.path, locker)]
  await put(living)
  const temporary = (owner: string) => join(directory.path, 'tmp', `${owner}-7`)
  for (const owner of [living.self, randomUUID(), randomUUID()]) writeFileSync(temporary(owner), '{')
  await put(next)
  assert.deepEqual(readdirSync(join(directory.path, 'tmp')), [`${living.self}-7`])
  for (const shelf of [living, next]) await shelf.close()
})
