/** A storage that says nothing for ten seconds, before ours with the settings that everybody has. */
import assert from 'node:assert/strict'
import { startStorageProxy } from '../support/storage-proxy.ts'
import { client, offsetIn, whole } from './client.ts'
import type { Random } from './random.ts'
import { startStorageServer } from './storage-server.ts'
import type { View } from './storage-views.ts'

const silenceMs = 10_000
/** With a part of the usual size and a rest. */
const length = (8 << 20) + 100_000
const uploads = 4

/**
 * Several uploads in a single PATCH each. The storage falls silent once for each of these kinds of request before it
 * has heard of it, and once before it answers: nobody notices anything but the time.
 */
export async function uploadThroughSilence(view: View, kinds: readonly string[], random: Random): Promise<void> {
  const prefix = 'silence/'
  await using proxy = await startStorageProxy(new URL(view.endpoint).origin, { dialect: view.dialect })
  await using server = await startStorageServer(view.place(proxy.origin))
  await server.open(prefix, {})
  const tus = client(server)
  const sources = Array.from({ length: uploads }, () => random.bytes(length))
  const paths = await Promise.all(sources.map(() => tus.create(length)))
  for (const on of kinds) {
    for (const before of ['request', 'answer'] as const) {
      proxy.plan({ fault: { is: 'stall', ms: silenceMs, before }, on, skip: before === 'request' ? 0 : 1 })
    }
  }
  const since = performance.now()
  const patches = await Promise.all(sources.map((source, n) => whole(tus.patch(paths[n]!, 0, source), 'PATCH')))
  const took = performance.now() - since
  tus.close()

  const stalled = proxy.requests.filter(({ fault }) => fault !== null).map(({ kind }) => kind)
  assert.deepEqual(stalled.sort(), [...kinds, ...kinds].sort(), `what fell silent: ${JSON.stringify(proxy.counts)}`)
  assert.ok(took >= silenceMs - 100, `it took ${took.toFixed(0)} ms, so nothing waited`)
  assert.deepEqual(server.failures, [])
  for (const [n, patch] of patches.entries()) {
    assert.equal(patch.status, 204, `PATCH was answered ${patch.status} ${patch.body.toString()}`)
    assert.equal(offsetIn(patch), length)
    const object = await view.read(prefix + paths[n]!.slice(paths[n]!.lastIndexOf('/') + 1))
    assert.ok(object?.equals(sources[n]!), `${paths[n]} differs`)
  }
  assert.deepEqual(await view.multiparts(prefix), [])
}
