/** The process that the runs under faults kill. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startStorageServer } from './storage-server.ts'

void test('an order to a process that has just been killed: it is refused, and another process takes its place', async () => {
  const place = { is: 'gcs', bucket: 'none', endpoint: 'http://127.0.0.1:1' } as const
  await using server = await startStorageServer(place)
  const crashed = server.crash()
  // The process is dead before its end is known here, so that the order finds nobody.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
  await assert.rejects(server.sweep(), /The server ended/)
  await crashed
  const { status } = await fetch(server.url)
  assert.equal(status, 503, 'nothing has been opened')
})
