/** Invariant 6 and 1 on a disk that is full, or that was taken for writing: refusals that clients retry, nothing lost. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { TestServer } from '../support/server.ts'
import { type Answer, type Client, client, octets, offsetIn, send, whole } from './client.ts'
import { difference, idOf, sizeOf, strays } from './folder.ts'
import { type Disk, mountDisk } from './mount.ts'
import { type Random, seeded } from './random.ts'
import { startWarm } from './warm.ts'

const MiB = 1 << 20

interface World {
  readonly t: TestContext
  readonly disk: Disk
  readonly server: TestServer
  readonly tus: Client
  readonly random: Random
  readonly dataDir: string
}

/** A case on a disk of 8 MiB with a server of its own. */
function onDisk(title: string, run: (world: World) => Promise<void>, options = ''): void {
  void test(title, { timeout: 60_000 }, async (t) => {
    const mounted = mountDisk(8, options)
    if (typeof mounted === 'string') {
      assert.equal(process.env['CI'], undefined, mounted)
      t.skip(mounted)
      return
    }
    using disk = mounted
    const dataDir = join(disk.path, 'data')
    await using server = await startWarm({
      dataDir,
      env: { FILELOFT_LOCK_TIMEOUT: '3', FILELOFT_ENABLE_CONCATENATION: 'true' },
    })
    const tus = client(server)
    try {
      await run({ t, disk, server, tus, random: seeded(t), dataDir })
    } finally {
      tus.close()
    }
  })
}

onDisk(
  'PATCH longer than the space left: 507, what HEAD tells is stored, goes on once there is space',
  async (world) => {
    const { disk, tus, random } = world
    const source = random.bytes(6 * MiB)
    const upload = await tus.create(source.length)
    await confirmed(tus, upload, 0, source.subarray(0, MiB))
    disk.fill(2 * MiB)
    refused(await whole(tus.patch(upload, MiB, source.subarray(MiB)), 'PATCH'), 507)
    const offset = await stored(world, upload, source, MiB)
    world.t.diagnostic(`${offset - MiB} bytes of the refused PATCH were kept`)
    // Asking again on a disk that is still full changes nothing.
    refused(await whole(tus.patch(upload, offset, source.subarray(offset)), 'PATCH again'), 507)
    const again = await stored(world, upload, source, offset)
    disk.empty()
    await confirmed(tus, upload, again, source.subarray(again))
    await finished(world, upload, source)
  },
)

onDisk('PATCH without Content-Length on a full disk: 507, nothing confirmed is lost, goes on later', async (world) => {
  const { disk, tus, random } = world
  const source = random.bytes(5 * MiB)
  const upload = await tus.create(null)
  await confirmed(tus, upload, 0, source.subarray(0, 700_000))
  disk.fill(MiB)
  refused(await whole(tus.patch(upload, 700_000, source.subarray(700_000), { chunked: true }), 'PATCH'), 507)
  const offset = await stored(world, upload, source, 700_000)
  disk.empty()
  const headers = { 'Upload-Length': String(source.length) }
  const rest = tus.patch(upload, offset, source.subarray(offset), { chunked: true, headers })
  assert.equal((await whole(rest, 'PATCH')).status, 204)
  await finished(world, upload, source)
})

onDisk('PATCH with a checksum on a full disk: 507 and the offset is what it was', async (world) => {
  const { disk, tus, random } = world
  const source = random.bytes(5 * MiB)
  const upload = await tus.create(source.length)
  await confirmed(tus, upload, 0, source.subarray(0, MiB))
  // Too little space for one that is written as it comes, for one that may be held in memory first, and for none.
  for (const [left, end] of [
    [2 * MiB, source.length],
    [200_000, MiB + 900_000],
    [0, MiB + 5_000],
  ] as const) {
    disk.empty()
    disk.fill(left)
    const body = source.subarray(MiB, end)
    refused(await whole(tus.patch(upload, MiB, body, { headers: sha1(body) }), 'PATCH'), 507)
    assert.equal(await stored(world, upload, source, MiB), MiB, `offset after a refusal with ${left} bytes left`)
  }
  disk.empty()
  const rest = source.subarray(MiB)
  assert.equal((await whole(tus.patch(upload, MiB, rest, { headers: sha1(rest) }), 'PATCH')).status, 204)
  await finished(world, upload, source)
})

onDisk('POST on a full disk: 507 and no trace, with and without a body; 201 once there is space', async (world) => {
  const { disk, server, tus, random } = world
  const source = random.bytes(3 * MiB)
  const before = await tus.create(1)
  disk.fill()
  const length = { 'Upload-Length': String(source.length) }
  refused(await whole(send(server.url, 'POST', { headers: length }), 'POST'), 507)
  const withBody = { headers: { ...length, 'Content-Type': octets }, body: source }
  refused(await whole(send(server.url, 'POST', withBody), 'POST with upload'), 507)
  assert.deepEqual(strays(world.dataDir, [before]).filter(isUpload), [], 'files of uploads that were refused')
  disk.empty()
  const answer = await whole(send(server.url, 'POST', withBody), 'POST with upload')
  assert.equal(answer.status, 201)
  await finished(world, new URL(answer.headers['location'] ?? '', server.origin).pathname, source)
})

onDisk('DELETE on a full disk: 204, its space is free and others go on', async (world) => {
  const { disk, tus, random } = world
  const source = random.bytes(2 * MiB)
  const victim = await tus.create(3 * MiB)
  await confirmed(tus, victim, 0, random.bytes(2 * MiB))
  const upload = await tus.create(source.length)
  disk.fill()
  refused(await whole(tus.patch(upload, 0, source), 'PATCH'), 507)
  const answer = await tus.remove(victim)
  assert.equal(answer.status, 204, answer.body.toString())
  assert.equal((await tus.head(victim)).status, 404)
  const offset = await stored(world, upload, source, 0)
  await confirmed(tus, upload, offset, source.subarray(offset, source.length - 100_000))
})

onDisk('a start on a full disk: HEAD tells the offset, DELETE frees the space, uploads go on', async (world) => {
  const { disk, server, tus, random } = world
  const source = random.bytes(3 * MiB)
  const upload = await tus.create(source.length)
  await confirmed(tus, upload, 0, source.subarray(0, MiB))
  const victim = await tus.create(3 * MiB)
  await confirmed(tus, victim, 0, random.bytes(2 * MiB))
  await server.stop('SIGKILL')
  disk.fill()
  await server.restart()
  const after = client(server)
  assert.equal(await probe(server, '/healthz'), 200)
  assert.equal(await after.offset(upload), MiB)
  const answer = await after.remove(victim)
  assert.equal(answer.status, 204, answer.body.toString())
  await confirmed(after, upload, MiB, source.subarray(MiB))
  await finished({ ...world, tus: after }, upload, source)
  after.close()
})

onDisk(
  'POST where no file can be made any more (inodes): 507, running uploads go on',
  async (world) => {
    const { server, tus, random } = world
    const source = random.bytes(2 * MiB)
    const upload = await tus.create(source.length)
    await confirmed(tus, upload, 0, source.subarray(0, MiB))
    let last: Answer
    do last = await whole(send(server.url, 'POST', { headers: { 'Upload-Length': '1' } }), 'POST')
    while (last.status === 201)
    refused(last, 507)
    assert.equal(await stored(world, upload, source, MiB), MiB)
  },
  ',nr_inodes=60',
)

onDisk('a disk remounted read-only: 5xx, nothing lost; it goes on once it is writable again', async (world) => {
  const { disk, server, tus, random } = world
  const source = random.bytes(3 * MiB)
  const upload = await tus.create(source.length)
  await confirmed(tus, upload, 0, source.subarray(0, MiB))
  disk.remount('ro')
  const refusals = [
    await whole(tus.patch(upload, MiB, source.subarray(MiB)), 'PATCH'),
    await whole(send(server.url, 'POST', { headers: { 'Upload-Length': '5' } }), 'POST'),
    await tus.remove(upload),
  ]
  for (const answer of refusals) refused(answer, 503)
  // A client that looks for its upload must not start a new one: it does on any 4xx but 423.
  const head = await tus.head(upload)
  assert.ok(head.status === 200 || head.status === 423 || head.status >= 500, `HEAD answered ${head.status}`)
  assert.equal(await probe(server, '/healthz'), 200)
  assert.equal(await probe(server, '/readyz'), 503)
  disk.remount('rw')
  assert.equal(await probe(server, '/readyz'), 200)
  const offset = await stored(world, upload, source, MiB)
  await confirmed(tus, upload, offset, source.subarray(offset))
  await finished(world, upload, source)
})

async function probe(server: TestServer, path: '/healthz' | '/readyz'): Promise<number> {
  return (await fetch(server.origin + path, { signal: AbortSignal.timeout(5_000) })).status
}

/** A PATCH that must be taken whole. */
async function confirmed(tus: Client, upload: string, offset: number, bytes: Uint8Array): Promise<void> {
  const answer = await whole(tus.patch(upload, offset, bytes), 'PATCH')
  assert.equal(answer.status, 204, answer.body.toString())
  assert.equal(offsetIn(answer), offset + bytes.length)
}

function refused({ status, headers, body }: Answer, wanted: number): void {
  assert.equal(status, wanted, body.toString())
  assert.equal(headers['tus-resumable'], '1.0.0')
  assert.match(body.toString(), /storage/)
  assert.doesNotMatch(body.toString(), /\/tmp|ENOSPC|EROFS/, 'what goes to the log only')
}

/** HEAD answers at once (the lock is free) an offset that was not lost and that the data has; tells it. */
async function stored({ tus, dataDir }: World, upload: string, source: Buffer, atLeast: number): Promise<number> {
  const since = performance.now()
  const answer = await tus.head(upload)
  assert.equal(answer.status, 200, 'HEAD')
  assert.ok(performance.now() - since < 1_000, 'HEAD had to wait for a lock')
  const offset = offsetIn(answer)
  assert.ok(offset >= atLeast, `HEAD tells ${offset}, ${atLeast} had been confirmed`)
  assert.ok(sizeOf(dataDir, upload) >= offset, `HEAD tells ${offset}, the file is shorter`)
  assert.equal(difference(dataDir, upload, source, offset), -1, `stored bytes below ${offset} differ`)
  return offset
}

/** The upload is whole, identical, and nothing is left beside it; the server is as good as new. */
async function finished({ disk, tus, server, dataDir }: World, upload: string, source: Buffer): Promise<void> {
  assert.equal(await tus.offset(upload), source.length)
  assert.equal(statSync(join(dataDir, idOf(upload))).size, source.length)
  assert.equal(difference(dataDir, upload, source, source.length), -1)
  assert.ok(!existsSync(join(disk.path, 'ballast')) || disk.free() >= 0)
  assert.deepEqual(strays(dataDir, []).filter(isLock), [], 'locks')
  assert.equal(await probe(server, '/healthz'), 200)
}

/** A file at the top, where only uploads lie. */
function isUpload(file: string): boolean {
  return !file.includes('/')
}

function isLock(file: string): boolean {
  return file.endsWith('.lock') || file.endsWith('.lock~') || file.includes('/want/') || file.startsWith('.tmp/')
}

function sha1(bytes: Uint8Array): Record<string, string> {
  return { 'Upload-Checksum': `sha1 ${createHash('sha1').update(bytes).digest('base64')}` }
}
