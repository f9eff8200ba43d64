/** Invariants 2 and 3 across processes: two servers on one directory, clients that hop between them at every request. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test, type TestContext } from 'node:test'
import type { TestServer } from '../support/server.ts'
import { type Answer, type Client, client, type Exchange, offsetIn, whole } from './client.ts'
import { difference, locks, sizeOf } from './folder.ts'
import { type Random, random as randomOf, seeded } from './random.ts'
import { startWarm } from './warm.ts'

/** A newcomer has the upload within this, whatever became of the one before it. */
const seconds = 3_000

const env = { FILELOFT_LOG: 'info', FILELOFT_ENABLE_DOWNLOAD: 'true' }

interface Pair {
  readonly a: TestServer
  readonly b: TestServer
  readonly dataDir: string
  readonly random: Random
}

/** A case with two processes that share a data folder. */
function onTwo(
  title: string,
  run: (pair: Pair, t: TestContext) => Promise<void>,
  more: Record<string, string> = {},
): void {
  void test(title, { timeout: 30_000 }, async (t) => {
    const random = seeded(t)
    const folder = mkdtempSync(join(tmpdir(), 'fileloft-faults-'))
    const options = { dataDir: join(folder, 'data'), env: { ...env, ...more } }
    try {
      await using a = await startWarm(options)
      await using b = await startWarm(options)
      await run({ a, b, dataDir: a.dataDir, random }, t)
      checkLog(a)
      checkLog(b)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

onTwo(
  'a dozen uploads hop between two processes, with broken and overtaken PATCHes: all identical',
  async (pair, t) => {
    const { a, b, dataDir, random } = pair
    const counts = new Map<string, number>()
    const uploads = Array.from({ length: 12 }, async () => {
      const own = randomOf(random.between(1, 2 ** 30))
      const source = own.bytes(own.between(1, 3_000_000))
      const path = await hop([client(a), client(b)], source, own, counts)
      assert.equal(difference(dataDir, path, source, source.length), -1, `${path} differs`)
      assert.equal(sizeOf(dataDir, path), source.length, `${path} has another length`)
      for (const server of [a, b]) {
        const download = await client(server, false).get(path)
        assert.equal(download.status, 200, `GET ${path} answered ${download.status}`)
        assert.ok(download.body.equals(source), `GET ${path} answers other bytes`)
      }
    })
    await Promise.all(uploads)
    t.diagnostic([...counts].map(([what, count]) => `${what}: ${count}`).join(', '))
    assert.deepEqual(locks(dataDir), [])
  },
)

for (const method of ['HEAD', 'PATCH', 'DELETE'] as const) {
  onTwo(
    `a silent PATCH in one process gives way to a ${method} in another within 3 s, its bytes kept`,
    async (pair) => {
      const { a, b, dataDir, random } = pair
      const source = random.bytes(1_000_000)
      const { path, exchange } = await stalled(pair, source, 300_000)
      const since = performance.now()
      const tus = client(b)
      if (method === 'HEAD') assert.equal(await tus.offset(path), 300_000)
      if (method === 'PATCH') {
        const answer = await whole(tus.patch(path, 300_000, source.subarray(300_000, 500_000)), 'PATCH')
        assert.equal(answer.status, 204, answer.body.toString())
      }
      if (method === 'DELETE') assert.equal((await tus.remove(path)).status, 204)
      const took = performance.now() - since
      assert.ok(took < seconds, `took ${took.toFixed(0)} ms`)
      const evicted = await whole(exchange, 'the silent PATCH')
      assert.equal(evicted.status, 423, evicted.body.toString())
      assert.equal(evicted.headers['connection'], 'close')
      if (method === 'DELETE') {
        for (const server of [a, b]) assert.equal((await client(server, false).head(path)).status, 404)
      } else {
        const offset = await client(a, false).offset(path)
        assert.equal((await whole(tus.patch(path, offset, source.subarray(offset)), 'PATCH')).status, 204)
        assert.equal(difference(dataDir, path, source, source.length), -1)
      }
      tus.close()
      assert.deepEqual(locks(dataDir), [])
    },
  )
}

onTwo('kill -9 of a process that holds an upload: another serves it within 3 s', async (pair) => {
  const { a, b, dataDir, random } = pair
  const source = random.bytes(1_000_000)
  const { path, exchange } = await stalled(pair, source, 300_000)
  assert.equal(locks(dataDir).length, 1, 'no lock is held: this proves nothing')
  await a.stop('SIGKILL')
  assert.equal(await exchange.answer, null)
  const since = performance.now()
  const tus = client(b)
  assert.equal(await tus.offset(path), 300_000)
  const answer = await whole(tus.patch(path, 300_000, source.subarray(300_000)), 'PATCH')
  const took = performance.now() - since
  assert.equal(answer.status, 204, answer.body.toString())
  assert.ok(took < seconds, `took ${took.toFixed(0)} ms`)
  assert.equal(difference(dataDir, path, source, source.length), -1)
  tus.close()
  assert.deepEqual(locks(dataDir), [])
})

onTwo('kill -9 of a process while the other waits for its lock: the one that waits is served', async (pair) => {
  const { a, b, dataDir, random } = pair
  const source = random.bytes(1_000_000)
  const { path } = await stalled(pair, source, 300_000)
  // Stopped, it cannot give way before it dies.
  a.signal('SIGSTOP')
  const tus = client(b)
  const since = performance.now()
  const waiting = tus.head(path)
  await until(() => locks(dataDir).length > 1, 'the other process waits')
  await a.stop('SIGKILL')
  const answer = await waiting
  assert.equal(answer.status, 200)
  assert.equal(offsetIn(answer), 300_000)
  assert.ok(performance.now() - since < seconds, 'it took too long')
  tus.close()
  assert.deepEqual(locks(dataDir), [])
})

onTwo(
  'SIGSTOP of a process that holds an upload: 423 or the upload elsewhere, and nothing is mixed up after SIGCONT',
  async (pair, t) => {
    const { a, b, dataDir, random } = pair
    const [source, other] = [random.bytes(4_000_000), random.bytes(4_000_000)]
    const path = await client(a, false).create(source.length)
    const slow = client(a, false).patch(path, 0, source, { stallAfter: 300_000 })
    await until(() => sizeOf(dataDir, path) === 300_000, 'the first bytes are stored')
    a.signal('SIGSTOP')
    const tus = client(b)
    const answer = await tus.head(path)
    t.diagnostic(`HEAD in the other process answered ${answer.status}`)
    assert.ok(answer.status === 423 || answer.status === 200, `HEAD answered ${answer.status}`)
    // Where it had the upload, it goes on with bytes of its own: those of the one that was stopped would show.
    let from = 300_000
    if (answer.status === 200) {
      from = offsetIn(answer)
      assert.equal((await whole(tus.patch(path, from, other.subarray(from, 2_000_000)), 'PATCH')).status, 204)
    }
    const waiting = tus.head(path)
    a.signal('SIGCONT')
    const late = await waiting
    assert.ok(late.status === 423 || late.status === 200, `HEAD answered ${late.status}`)
    const evicted = await slow.answer
    assert.ok(evicted === null || evicted.status === 423, `the stopped PATCH was answered ${evicted?.status}`)
    const offset = await tus.offset(path)
    assert.equal(offset, answer.status === 200 ? 2_000_000 : 300_000)
    assert.equal((await whole(tus.patch(path, offset, other.subarray(offset)), 'PATCH')).status, 204)
    const expected = Buffer.concat([source.subarray(0, from), other.subarray(from)])
    assert.equal(difference(dataDir, path, expected, expected.length), -1, 'the bytes are mixed up')
    tus.close()
    assert.deepEqual(locks(dataDir), [])
  },
  { FILELOFT_LOCK_TIMEOUT: '2' },
)

/** A PATCH in process A whose client has fallen silent after `count` bytes, all of them stored. */
async function stalled(
  { a, dataDir }: Pair,
  source: Buffer,
  count: number,
): Promise<{ path: string; exchange: Exchange }> {
  const tus = client(a, false)
  const path = await tus.create(source.length)
  const exchange = tus.patch(path, 0, source, { stallAfter: count })
  await until(() => sizeOf(dataDir, path) === count, 'the bytes sent are stored')
  return { path, exchange }
}

/** Uploads `source` through both servers, one request at a time but for those it has given up on. Tells the path. */
async function hop(
  tus: readonly Client[],
  source: Buffer,
  random: Random,
  counts: Map<string, number>,
): Promise<string> {
  const any = () => random.pick(tus)
  const note = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1)
  const path = await any().create(source.length)
  let told = 0
  const learn = (offset: number) => {
    assert.ok(offset >= told, `${path}: the offset went from ${told} to ${offset}`)
    assert.ok(offset <= source.length)
    told = offset
  }
  const take = (answer: Answer) => {
    assert.ok(answer.status < 500, `${path}: ${answer.status} ${answer.body.toString()}`)
    note(String(answer.status))
    if (answer.status === 204 || answer.status === 409) learn(offsetIn(answer))
    else assert.equal(answer.status, 423, `${path}: ${answer.status} ${answer.body.toString()}`)
  }
  for (let steps = 0; told < source.length; steps++) {
    assert.ok(steps < 300, `${path} stands at ${told} of ${source.length}`)
    const piece = source.subarray(told, told + random.between(1, 400_000))
    const kind = random.pick(['whole', 'broken', 'broken', 'overtaken'] as const)
    if (kind === 'whole') {
      take(await whole(any().patch(path, told, piece), 'PATCH'))
    } else if (kind === 'broken') {
      note('broken')
      await breakOff(any(), path, told, piece, random)
      // Straight on with what was known before, as often as not: the answer tells the offset.
      if (random.chance(0.7)) learn(await any().offset(path))
    } else {
      note('overtaken')
      const [one, other] = random.chance(0.5) ? tus : tus.toReversed()
      take(await overtake(one!, () => other!.offset(path).then(learn), path, told, piece, random))
    }
  }
  learn(await any().offset(path))
  for (const one of tus) one.close()
  return path
}

/** Sends a PATCH that falls silent at a random byte, asks elsewhere until it has given way, and tells its answer. */
async function overtake(
  tus: Client,
  ask: () => Promise<void>,
  path: string,
  offset: number,
  piece: Buffer,
  random: Random,
): Promise<Answer> {
  const exchange = tus.patch(path, offset, piece, { stallAfter: random.between(0, piece.length) })
  const over = exchange.answer.then(() => true)
  const soon = () => new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))
  const since = performance.now()
  do {
    assert.ok(performance.now() - since < seconds, `${path}: a silent PATCH does not give way`)
    await ask()
  } while (!(await Promise.race([over, soon()])))
  return whole(exchange, 'a silent PATCH')
}

/** Sends a PATCH and breaks the connection at a random byte of it, or as soon as the last one is sent. */
async function breakOff(tus: Client, path: string, offset: number, piece: Buffer, random: Random): Promise<void> {
  const stallAfter = random.between(1, piece.length)
  const { promise, resolve } = Promise.withResolvers<void>()
  const onSent = (bytes: number) => {
    if (bytes >= stallAfter) resolve()
  }
  const exchange = tus.patch(path, offset, piece, { stallAfter, onSent })
  await Promise.race([promise, exchange.answer])
  exchange.abort()
}

function checkLog(server: TestServer): void {
  for (const line of server.log) assert.doesNotMatch(line, /uncaught|unhandled|fatal/i)
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const since = Date.now(); !condition();) {
    assert.ok(Date.now() - since < 5_000, `waited 5 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
