/**
 * Invariant 1: the offset a client is told never exceeds what survives a `kill -9` of the server, and never goes back.
 * Moments are chosen by what the client has sent and been told, not by the clock.
 */
import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { TestServer } from '../support/server.ts'
import { type Answer, type Client, client, type Headers, locationOf, octets, offsetIn, send, whole } from './client.ts'
import { age, difference, filesIn, idOf, sha256, sizeOf, strays } from './folder.ts'
import { type Random, seeded } from './random.ts'
import { startWarm } from './warm.ts'

const MiB = 1 << 20

/** Kills for each way of sending; five of them make fifty. */
const killsEach = 10

/** A HEAD after the restart that takes longer has waited for a dead process's lock. */
const patienceMs = 3_000

interface Shape {
  readonly name: string
  readonly length: number
  /** What kills are timed by. A request that sends all that is left has an answer at the very end only. */
  readonly marks: readonly Fuse['on'][]
  /** Sends what is left of the upload, or as much as fits before the fuse burns through. */
  run(run: Run): Promise<void>
}

/** One upload on its way, over as many processes as it takes. */
interface Run {
  readonly source: Buffer
  readonly random: Random
  client: Client
  server: TestServer
  /** The upload's path, as soon as the client knows it. */
  path: string | null
  /** Most bytes that any answer has confirmed. */
  told: number
  /** Ends of the requests after which an offset may stand; null = any byte is as good. */
  bounds: readonly number[] | null
  fuse: Fuse | null
  /** Note what the socket has taken, of the whole upload. */
  sent(bytes: number): void
  /** Note an answer. False once the server is being killed. */
  answered(answer: Answer | null): boolean
}

/** When to kill: once so many bytes of the upload have been sent, or lie in its file, or were confirmed by an answer. */
interface Fuse {
  readonly on: 'sent' | 'stored' | 'answered'
  readonly bytes: number
  burnt: boolean
}

const shapes: readonly Shape[] = [
  {
    name: 'one long PATCH',
    length: 64 * MiB,
    marks: ['sent', 'stored'],
    async run(run) {
      run.path ??= await run.client.create(run.source.length)
      await patch(run, run.told, run.source.length)
    },
  },
  {
    name: 'PATCHes of 64 KiB',
    length: 24 * MiB,
    marks: ['sent', 'answered'],
    async run(run) {
      run.path ??= await run.client.create(run.source.length)
      while (run.told < run.source.length) if (!(await patch(run, run.told, run.told + 64 * 1024))) return
    },
  },
  {
    name: 'creation with upload',
    length: 64 * MiB,
    marks: ['sent'],
    async run(run) {
      if (run.path !== null) return void (await patch(run, run.told, run.source.length))
      const answer = await send(run.server.url, 'POST', {
        headers: { 'Upload-Length': String(run.source.length), 'Content-Type': octets },
        body: run.source,
        onSent: (bytes) => run.sent(bytes),
      }).answer
      if (answer !== null) run.path = locationOf(answer)
      run.answered(answer)
    },
  },
  {
    name: 'PATCHes with a SHA-1',
    length: 64 * MiB,
    marks: ['sent', 'stored', 'stored', 'answered'],
    async run(run) {
      run.path ??= await run.client.create(run.source.length)
      while (run.told < run.source.length) {
        // On both sides of what a store might hold in memory.
        const end = run.told + run.random.pick([100_000, MiB, 3 * MiB, 9 * MiB, 9 * MiB])
        if (!(await patch(run, run.told, end, (bytes) => ({ 'Upload-Checksum': sha1(bytes) }), [run.told, end]))) return
      }
    },
  },
  {
    name: 'deferred length, chunked',
    length: 64 * MiB,
    marks: ['sent', 'stored', 'answered'],
    async run(run) {
      run.path ??= await run.client.create(null)
      while (run.told < run.source.length) {
        if (!(await patch(run, run.told, run.told + run.random.between(MiB, 20 * MiB), () => ({}), null, true))) return
      }
      // The length comes last, in a request of its own.
      if ((await run.client.head(run.path)).headers['upload-length'] === undefined) {
        await patch(run, run.told, run.told, () => ({ 'Upload-Length': String(run.source.length) }))
      }
    },
  },
]

void test(
  'kill -9 at 50 moments of uploads: no confirmed byte is lost and the files end up identical',
  // Fifty starts of a server: one and a half minutes on two quiet cores, several on busy ones.
  { timeout: 480_000 },
  async (t) => {
    const random = seeded(t)
    await using server = await startWarm({
      env: { FILELOFT_ENABLE_DOWNLOAD: 'true', FILELOFT_LOG: 'warn,fileloft_server=info' },
    })
    const finished: string[] = []
    const times: number[] = []
    for (const shape of shapes) {
      for (let kills = 0; kills < killsEach;) {
        const run = start(shape, server, random)
        kills += await complete(run, shape, killsEach - kills, times)
        await check(run)
        finished.push(run.path!)
      }
    }
    t.diagnostic(`${times.length} kills, slowest HEAD after a restart ${Math.max(...times).toFixed(0)} ms`)
    await checkRemains(t, server, finished)
  },
)

function start(shape: Shape, server: TestServer, random: Random): Run {
  const run: Run = {
    source: random.bytes(shape.length - random.between(0, 1000)),
    random,
    client: client(server),
    server,
    path: null,
    told: 0,
    bounds: null,
    fuse: null,
    sent(bytes) {
      burn(run, 'sent', bytes)
      if (run.fuse?.on === 'stored' && run.path !== null) burn(run, 'stored', sizeOf(server.dataDir, run.path))
    },
    answered(answer) {
      if (answer === null) {
        assert.ok(run.fuse?.burnt, `the connection broke although the server was not killed\n${server.log.join('\n')}`)
        return false
      }
      assert.ok([201, 204].includes(answer.status), `answered ${answer.status} ${answer.body.toString()}`)
      const offset = offsetIn(answer)
      assert.ok(offset >= run.told, `the offset went from ${run.told} to ${offset}`)
      run.told = offset
      burn(run, 'answered', offset)
      return run.fuse?.burnt !== true
    },
  }
  return run
}

function burn(run: Run, on: Fuse['on'], bytes: number): void {
  const { fuse } = run
  if (fuse === null || fuse.burnt || fuse.on !== on || bytes < fuse.bytes) return
  fuse.burnt = true
  run.server.signal('SIGKILL')
}

/** Uploads to the end, through at most `most` kills; tells how many there were. */
async function complete(run: Run, shape: Shape, most: number, times: number[]): Promise<number> {
  let kills = 0
  while (true) {
    run.fuse = kills < most ? lay(run, shape, most - kills) : null
    await shape.run(run)
    if (run.fuse?.burnt !== true) return kills
    kills++
    run.client.close()
    await run.server.restart({ signal: 'SIGKILL' })
    run.client = client(run.server)
    times.push(await lookAgain(run))
  }
}

function lay(run: Run, shape: Shape, left: number): Fuse {
  const rest = run.source.length - run.told
  // The last one at the very end: all is sent, or even confirmed, when the server dies.
  if (left === 1) return { on: run.random.pick(['sent', 'answered']), bytes: run.source.length, burnt: false }
  // The server is ahead of what is noticed here, so the moments lie closer together than even shares would.
  const bytes = run.random.between(1, Math.ceil(rest / left))
  return { on: run.random.pick(shape.marks), bytes: run.told + bytes, burnt: false }
}

/** What HEAD tells after a crash must be there, be right, and be no less than what was told before. */
async function lookAgain(run: Run): Promise<number> {
  const { server, source, told } = run
  run.path ??= orphan(run)
  if (run.path === null) return 0
  const since = performance.now()
  const answer = await run.client.head(run.path)
  const took = performance.now() - since
  assert.equal(answer.status, 200, `HEAD after a crash answered ${answer.status}\n${server.log.join('\n')}`)
  assert.ok(took < patienceMs, `HEAD after a crash took ${took.toFixed(0)} ms`)
  const offset = offsetIn(answer)
  assert.ok(offset >= told, `HEAD told ${offset} after a crash, ${told} had been told before it`)
  assert.ok(sizeOf(server.dataDir, run.path) >= offset, `HEAD told ${offset}, the file is shorter`)
  assert.equal(difference(server.dataDir, run.path, source, offset), -1, `stored bytes below ${offset} differ`)
  if (run.bounds !== null) {
    assert.ok(
      run.bounds.includes(offset),
      `HEAD told ${offset} inside a checksummed PATCH of ${run.bounds.join(' to ')}`,
    )
  }
  run.told = offset
  return took
}

/** The upload whose POST died before its answer: a client could not know its address, but it must be sound too. */
function orphan({ server, source }: Run): string | null {
  const path = new URL(server.url).pathname
  for (const file of filesIn(server.dataDir)) {
    if (!file.endsWith('.info')) continue
    const record = JSON.parse(readFileSync(join(server.dataDir, file), 'utf8')) as {
      length: number
      completed: boolean
    }
    if (!record.completed && record.length === source.length) return `${path}/${basename(file, '.info')}`
  }
  return null
}

/** True when it was confirmed and the server lives. */
async function patch(
  run: Run,
  from: number,
  to: number,
  headersFor: (bytes: Buffer) => Headers = () => ({}),
  bounds: readonly number[] | null = null,
  chunked = false,
): Promise<boolean> {
  const body = run.source.subarray(from, to)
  run.bounds = bounds?.map((bound) => Math.min(bound, run.source.length)) ?? null
  const { answer } = run.client.patch(run.path!, from, body, {
    headers: headersFor(body),
    onSent(bytes) {
      // A small one that has arrived whole is verified before a byte of it is written; any of its bytes may count.
      if (bytes === body.length && bytes <= MiB) run.bounds = null
      run.sent(from + bytes)
    },
    chunked,
  })
  return run.answered(await answer)
}

async function check({ client, path, server, source }: Run): Promise<void> {
  assert.equal(await client.offset(path!), source.length)
  assert.equal(sizeOf(server.dataDir, path!), source.length, 'size of the file')
  const download = await client.get(path!)
  assert.equal(download.status, 200, `GET answered ${download.status} ${download.body.toString().slice(0, 200)}`)
  assert.ok(download.body.equals(source), `${path} differs: ${sha256(download.body)}, uploaded ${sha256(source)}`)
  client.close()
}

/** No lock, and nothing else that would stay for ever. */
async function checkRemains(t: TestContext, server: TestServer, uploads: readonly string[]): Promise<void> {
  // A process that takes a lock, its first, removes those of the dead; the last one need not have taken any: the one before
  // may have died in the moment after it had completed the last upload.
  const headers = { 'Upload-Length': '1', 'Content-Type': octets }
  const create = async () =>
    locationOf(await whole(send(server.url, 'POST', { headers, body: Buffer.from('x') }), 'POST'))
  const finished = [...uploads, await create()]
  const left = strays(server.dataDir, finished)
  t.diagnostic(`left behind by ${finished.length} uploads: ${left.join(', ') || 'nothing'}`)
  // A POST that dies between claiming its id and writing the record leaves an empty file that nobody was told of.
  const unclaimed = left.filter((file) => !file.includes('/') && sizeOf(server.dataDir, file) === 0)
  // The living process's own, one of each thread, and what dead ones were writing when they died.
  const owners = left.filter((file) => /\/owner\/[0-9a-f-]{36}$/.test(file))
  const temporary = left.filter((file) => file.startsWith('.tmp/') || /\/owner\/.*\..*$/.test(file))
  // One that is hardly ever left: the moment between writing and renaming it is short.
  const draft = `.locks/owner/${randomUUID()}.${randomUUID()}`
  writeFileSync(join(server.dataDir, draft), '')
  temporary.push(draft)
  const dead = owners.filter((file) => {
    const { pid } = JSON.parse(readFileSync(join(server.dataDir, file), 'utf8')) as { pid: number }
    return pid !== server.pid
  })
  assert.deepEqual(dead, [], 'owners that are dead')
  assert.deepEqual(
    left.filter((file) => ![...unclaimed, ...owners, ...temporary].includes(file)),
    [],
    'files that no upload needs',
  )
  age(server.dataDir, temporary)
  await server.restart()
  // A new upload makes the store clear up, its first byte (a lock) the locker.
  await create()
  const now = filesIn(server.dataDir)
  assert.deepEqual(
    temporary.filter((file) => now.includes(file)),
    [],
    'old temporary files survive a start',
  )
  for (const path of finished) assert.ok(now.includes(idOf(path)), `${path} is gone`)
}

function sha1(bytes: Uint8Array): string {
  return `sha1 ${createHash('sha1').update(bytes).digest('base64')}`
}
