/** What holds for a store while its storage fails, on a real server behind a proxy that breaks things. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { RunningServer } from '../servers/program.ts'
import { seeded } from './random.ts'
import { runSeeds } from './storage-runs.ts'
import { endStorageServers } from './storage-server.ts'
import { uploadThroughSilence } from './storage-silence.ts'
import type { View } from './storage-views.ts'

/** Runs of uploads. `FAULT_RUNS=1` with the seed of a run that failed repeats that one. */
const runs = Number(process.env['FAULT_RUNS'] ?? 200)

/**
 * @param start Resolves to null where the server is not installed.
 * @param kinds What the storage's requests for a part, a record and completion are called.
 */
export async function testFaults<S extends RunningServer>(
  name: string,
  start: () => Promise<S | null>,
  open: (server: S) => Promise<View>,
  kinds: readonly string[],
): Promise<void> {
  const server = await start()
  if (server === null) {
    void test(`uploads to ${name} under faults`, { skip: 'its server is not installed: npm run servers' })
    return
  }
  after(async () => {
    endStorageServers()
    await server.stop()
  })
  const view = await open(server)

  void describe(`uploads to ${name} while it fails`, { concurrency: true }, () => {
    void test(
      `${runs} uploads under faults, disconnects and kill -9: identical objects, no offset goes back, nothing is left`,
      { timeout: 600_000 },
      async (t) => {
        const { seed } = seeded(t)
        const since = performance.now()
        const { failed, statuses, ...totals } = await runSeeds(view, seed, runs, 8)
        const answers = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${count} x ${status}`)
        t.diagnostic(`${JSON.stringify(totals)}, ${answers.join(', ')}`)
        t.diagnostic(`${((performance.now() - since) / 1000).toFixed(0)} s`)
        assert.equal(failed.length, 0, failed.join('\n\n'))
        assert.equal(totals.runs, runs)
      },
    )

    void test('10 s of silence from the storage: an upload by the usual settings just takes longer', async (t) => {
      await uploadThroughSilence(view, kinds, seeded(t))
    })
  })
}
