/** What a power cut cannot take: events of uploads that are complete or gone, as far as syncing them goes. */
// Before what picks up the functions that it replaces.
import { takeSyncs } from '../files/syncs.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOutbox, newEvent, nameOf, type StoredEvent } from '../../src/node/hooks/outbox.ts'
import type { KeptType } from '../../src/node/hooks/types.ts'
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
