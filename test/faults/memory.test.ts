/** Invariant 8: memory is bounded by configuration, whatever the sizes and speeds involved. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { startWarm } from './warm.ts'
import { client, octets, type Exchange, offsetIn, send, whole } from './client.ts'
import { sizeOf } from './folder.ts'
import { random } from './random.ts'

const MiB = 1 << 20
const limit = 150 * MiB

const onLinux = process.platform === 'linux'

void test(
  '1 GiB at full speed beside 50 clients that stand still: the server stays under 150 MiB',
  { timeout: 120_000 },
  async (t) => {
    if (!onLinux) {
      t.skip('the peak of memory is read from /proc')
      return
    }
    await using server = await startWarm()
    const tus = client(server)
    t.diagnostic(`after the start: ${inMiB(peak(server.pid))} MiB`)

    const body = random(1).bytes(1_500_000)
    const digest = createHash('sha1').update(body).digest('base64')
    const slow: { path: string; exchange: Exchange }[] = []
    for (let i = 0; i < 50; i++) {
      const path = await tus.create(body.length)
      // Of some the server must hold all it has got: what they hash to is known in the end only.
      const headers = i % 5 === 0 ? { 'Upload-Checksum': `sha1 ${digest}` } : {}
      const stallAfter = i % 5 === 0 ? 1_000_000 : 1_200_000
      slow.push({ path, exchange: client(server, false).patch(path, 0, body, { stallAfter, headers }) })
    }
    await until(() => slow.every(({ path }, i) => i % 5 === 0 || sizeOf(server.dataDir, path) === 1_200_000))
    t.diagnostic(`with 50 silent clients: ${inMiB(peak(server.pid))} MiB`)

    const block = random(2).bytes(64 * MiB)
    const large = await tus.create(16 * block.length)
    const since = performance.now()
    const answer = await whole(
      send(server.origin + large, 'PATCH', {
        headers: { 'Content-Type': octets, 'Upload-Offset': '0' },
        body: block,
        times: 16,
      }),
      'PATCH of 1 GiB',
    )
    const rate = 1024 / ((performance.now() - since) / 1000)
    assert.equal(answer.status, 204, answer.body.toString())
    assert.equal(offsetIn(answer), 2 ** 30)
    t.diagnostic(`with 1 GiB at ${rate.toFixed(0)} MiB/s: ${inMiB(peak(server.pid))} MiB`)

    for (const { exchange } of slow) exchange.abort()
    assert.equal(await tus.offset(slow[1]!.path), 1_200_000, 'what a silent client had sent')
    assert.equal(await tus.offset(slow[0]!.path), 0, 'what cannot be verified')
    tus.close()
    assert.ok(peak(server.pid) < limit, `the server has used ${inMiB(peak(server.pid))} MiB`)
  },
)

/** The most resident memory that a process has had, in bytes. */
function peak(pid: number): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  assert.ok(found?.[1], 'no VmHWM in /proc')
  return Number(found[1]) * 1024
}

function inMiB(bytes: number): string {
  return (bytes / MiB).toFixed(0)
}

async function until(condition: () => boolean): Promise<void> {
  for (const since = Date.now(); !condition();) {
    assert.ok(Date.now() - since < 10_000, 'the silent clients did not get to where they stand still')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
