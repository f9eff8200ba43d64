/** Invariant 9: no request, however malformed, crashes the process, leaks a lock, or reaches a path outside the store. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startServer, type TestServer } from '../support/server.ts'
import { type Client, client, octets, whole } from './client.ts'
import { difference, filesIn, fingerprint, idOf, strays } from './folder.ts'
import { malformed, type Malformed } from './malformed.ts'
import { oddNames, oddSegments, oddValues } from './odd.ts'
import { type Random, seeded } from './random.ts'
import { exchange, type WireAnswer } from './wire.ts'

/** A sentence on a line of its own. */
const refusal = /\w+ \w+ \w+.*\n/

const batches = 40
const perBatch = 25

/** Each request is answered, or its connection ended, within this. */
const deadlineMs = 10_000

/** The upload used all along is had within this after a batch: its lock is free. */
const promptMs = 3_000

/** Large enough never to be complete. */
const targetLength = 2 ** 40

void test(
  '1,000 malformed requests: each is answered or closed, none gets a 5xx, the server and its files stay sound',
  { timeout: 120_000 },
  async (t) => {
    const random = seeded(t)
    const folder = mkdtempSync(join(tmpdir(), 'fileloft-faults-'))
    const sentinel = join(folder, 'sentinel')
    plant(sentinel)
    const before = fingerprint(sentinel)
    await using server = await startServer({
      dataDir: join(folder, 'data'),
      env: {
        FILELOFT_ENABLE_DOWNLOAD: 'true',
        FILELOFT_ENABLE_CONCATENATION: 'true',
        FILELOFT_ENABLE_EXPIRATION: 'true',
        FILELOFT_EXPIRATION_TTL: '3600',
        FILELOFT_LOCK_TIMEOUT: '5',
      },
    })
    const { pid } = server
    const tus = client(server)
    const upload = await tus.create(targetLength)
    let offset = 0
    const statuses = new Map<number | null, number>()
    try {
      for (let batch = 0; batch < batches; batch++) {
        const requests = Array.from({ length: perBatch }, () =>
          malformed(random, { base: new URL(server.url).pathname, upload, offset }),
        )
        await all(
          requests.map(async (request) => {
            const status = await judge(server, request)
            statuses.set(status, (statuses.get(status) ?? 0) + 1)
          }),
        )
        assert.equal(server.pid, pid)
        offset = await goOn(tus, upload, offset, random)
      }
      t.diagnostic([...statuses].map(([status, count]) => `${status ?? 'closed'}: ${count}`).join(', '))
      tus.close()
      const exit = await server.stop('SIGTERM')
      assert.deepEqual(exit, { code: 0, signal: null }, server.log.join('\n'))
      checkLog(server)
      assert.equal(fingerprint(sentinel), before, 'files beside the data folder have changed')
      checkFiles(server.dataDir)
    } finally {
      await server.close()
      rmSync(folder, { recursive: true })
    }
  },
)

void test(
  'an honest upload beside malformed requests for the same upload ends up identical',
  { timeout: 120_000 },
  async (t) => {
    const random = seeded(t)
    await using server = await startServer({ env: { FILELOFT_LOCK_TIMEOUT: '5' } })
    const tus = client(server)
    const source = random.bytes(2_000_000)
    const upload = await tus.create(source.length)
    // Among the odd offsets are small ones that would fit a beginning.
    const first = await whole(tus.patch(upload, 0, source.subarray(0, 1000)), 'PATCH')
    assert.equal(first.status, 204)
    const over = new AbortController()
    const noise = async () => {
      while (!over.signal.aborted) {
        // An offset that never fits: whatever is stored, the honest client has sent.
        await judge(server, malformed(random, { base: '/files', upload, offset: source.length + 1 }))
      }
    }
    const senders = all([noise(), noise(), noise()])
    try {
      await sendRest(tus, upload, source, 1000, random)
    } finally {
      over.abort()
      await senders
    }
    assert.equal(difference(server.dataDir, upload, source, source.length), -1)
    tus.close()
  },
)

void test(
  'odd requests over fetch: each is answered with what is wrong, none with a 5xx',
  { timeout: 120_000 },
  async (t) => {
    const random = seeded(t)
    await using server = await startServer({ env: { FILELOFT_ENABLE_CONCATENATION: 'true' } })
    const tus = client(server)
    const upload = await tus.create(targetLength)
    const statuses = new Map<number, number>()
    for (let count = 0; count < 200; count++) {
      const { url, init } = oddFetch(random, server, upload)
      const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(deadlineMs) })
      const text = await answer.text()
      const what = `${init.method} ${url} ${JSON.stringify(init.headers)} answered ${answer.status} ${text}`
      assert.ok(answer.status < 500, what)
      assert.equal(answer.headers.get('tus-resumable'), '1.0.0', what)
      if (answer.status >= 400 && init.method !== 'HEAD') assert.match(text, refusal, what)
    }
    t.diagnostic([...statuses].map(([status, count]) => `${status}: ${count}`).join(', '))
    await goOn(tus, upload, 0, random)
    tus.close()
    checkLog(server)
    checkFiles(server.dataDir)
  },
)

/** What a browser or a script could send by mistake: legal HTTP, with values from anywhere. */
function oddFetch(random: Random, server: TestServer, upload: string): { url: string; init: RequestInit } {
  const method = random.pick(['POST', 'POST', 'PATCH', 'PATCH', 'HEAD', 'OPTIONS', 'PUT', 'GET', 'REPORT'])
  const segment = encodeURIComponent(random.pick(oddSegments).replace(/^\.{1,2}$/, 'dot'))
  const onUpload = random.chance(0.7) ? server.origin + upload : `${server.url}/${segment}`
  const url = method === 'POST' || method === 'OPTIONS' ? server.url : onUpload
  const headers: Record<string, string> = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Upload-Offset': '0' }
  if (random.chance(0.7)) headers['Content-Type'] = octets
  for (let count = random.between(1, 3); count > 0; count--) {
    const name = random.pick(
      oddNames.filter((name) => !['Host', 'Connection', 'Upgrade', 'Keep-Alive', 'Trailer'].includes(name)),
    )
    const value = random.pick(oddValues).replaceAll(/[^\x20-\xff]/g, '')
    headers[name] = value
  }
  const body = ['POST', 'PATCH', 'PUT'].includes(method) ? random.bytes(random.between(0, 20_000)) : null
  return { url, init: { method, headers, body } }
}

/** Sends the rest in pieces, each where HEAD says. */
async function sendRest(tus: Client, upload: string, source: Buffer, start: number, random: Random): Promise<void> {
  const deadline = Date.now() + 60_000
  for (let offset = start; offset < source.length;) {
    assert.ok(Date.now() < deadline, `stuck at ${offset} of ${source.length}`)
    const end = offset + random.between(1, 60_000)
    const answer = await whole(tus.patch(upload, offset, source.subarray(offset, end)), 'PATCH')
    // A HEAD among the noise makes a PATCH give way.
    assert.ok(answer.status === 204 || answer.status === 423, `${answer.status} ${answer.body.toString()}`)
    offset = await tus.offset(upload)
  }
}

/** Waits for all of them, whatever becomes of one. @throws what the first one threw. */
async function all(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason
}

/** Files that a request may reach for. */
function plant(sentinel: string): void {
  mkdirSync(join(sentinel, 'deep'), { recursive: true })
  for (const name of ['secret', 'secret.info', 'deep/passwd']) writeFileSync(join(sentinel, name), `${name} stays\n`)
}

/** Sends it and tells the status, or null when the connection just ended. */
async function judge(server: TestServer, request: Malformed): Promise<number | null> {
  const { answer, hung, ms } = await exchange(server.port, request, deadlineMs)
  const what = () =>
    `${request.title} (${request.after})\n${JSON.stringify(request.wire.toString('latin1')).slice(0, 3000)}`
  assert.ok(!hung, `no answer and no end within ${ms.toFixed(0)} ms: ${what()}`)
  if (answer === null) {
    assert.ok(!request.sound, `closed without an answer: ${what()}`)
    return null
  }
  const got = `${answer.status} ${JSON.stringify(answer.headers)} ${answer.body}`
  assert.ok(answer.status > 0 && answer.status < 500, `answered ${got}: ${what()}`)
  if (request.sound) checkAnswer(request, answer, `answered ${got}: ${what()}`)
  return answer.status
}

/** What every answer of the handler has; a refusal says what is wrong. */
function checkAnswer(request: Malformed, { status, headers, body }: WireAnswer, what: string): void {
  assert.equal(headers['tus-resumable'], '1.0.0', what)
  assert.equal(headers['x-content-type-options'], 'nosniff', what)
  if (status < 400) return
  assert.match(headers['content-type'] ?? '', /^text\/plain/, what)
  if (!request.wire.subarray(0, 5).equals(Buffer.from('HEAD '))) assert.match(body, refusal, what)
  if (status === 405) assert.ok(headers['allow'], what)
}

/** The upload is had at once and takes another byte; tells its offset after that. */
async function goOn(tus: Client, upload: string, before: number, random: Random): Promise<number> {
  const since = performance.now()
  const answer = await tus.head(upload)
  assert.equal(answer.status, 200, 'HEAD of the target')
  const offset = Number(answer.headers['upload-offset'])
  assert.ok(offset >= before, `the target's offset went from ${before} to ${offset}`)
  const patched = await whole(tus.patch(upload, offset, random.bytes(1)), 'PATCH')
  assert.equal(patched.status, 204, patched.body.toString())
  const took = performance.now() - since
  assert.ok(took < promptMs, `HEAD and PATCH of the target took ${took.toFixed(0)} ms`)
  return offset + 1
}

/** Malformed requests are the clients' failures: nothing the operator has to hear of. */
function checkLog(server: TestServer): void {
  const serious = server.records().filter(({ level }) => level === 'error' || level === 'fatal' || Number(level) >= 50)
  assert.deepEqual(serious, [])
  for (const line of server.log) assert.doesNotMatch(line, /uncaught|unhandled|fatal/i)
}

/** Nothing but pairs of files under ids that the server has made. */
function checkFiles(dataDir: string): void {
  const files = filesIn(dataDir)
  const records = files.filter((file) => /^[0-9a-f]{32}\.info$/.test(file))
  const paths = records.map((file) => `/files/${file.slice(0, -'.info'.length)}`)
  for (const path of paths) assert.ok(files.includes(idOf(path)), `${path} has a record but no file`)
  // Who the server was, for its locks.
  const others = strays(dataDir, paths).filter((file) => !/^\.[a-z]+\/owner\/[0-9a-f-]{36}$/.test(file))
  assert.deepEqual(others, [])
}
