/** Several servers on one bucket, each with locks of its own: what keeps them apart is the conditional record. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { createTusHandler, type TusHandler } from '../../src/index.ts'
import { objectStore } from '../../src/objects/store.ts'
import { blocksBucket } from './blocks-bucket.ts'
import { simulatedBucket } from './simulated-bucket.ts'

const mebibyte = 1 << 20

/** Numbers that look random and are the same every time. */
function random(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 1 | state) + 0x6d2b79f5) | 0
    return ((state ^ (state >>> 14)) >>> 0) % below
  }
}

function bytesOf(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const next = random(seed)
  const bytes = new Uint8Array(length)
  for (let n = 0; n < length; n += 64) bytes[n] = next(256)
  return bytes
}

const tus = { 'Tus-Resumable': '1.0.0' }

/** A body in pieces, after which nothing comes any more until `let go` is called. */
function stallingBody(bytes: Uint8Array): { stream: ReadableStream<Uint8Array>; letGo: () => void } {
  let sent = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (sent < bytes.byteLength) {
          controller.enqueue(bytes.subarray(sent, sent + 256 * 1024))
          sent += 256 * 1024
          return
        }
        await promise
        controller.error(new Error('the connection is gone'))
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, letGo: resolve }
}

function patch(handler: TusHandler, url: string, offset: number, body: BodyInit): Promise<Response> {
  return handler(
    new Request(url, {
      method: 'PATCH',
      headers: { ...tus, 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' },
      body,
      duplex: 'half',
    } as RequestInit),
  )
}

async function offsetAt(handler: TusHandler, url: string): Promise<number> {
  const response = await handler(new Request(url, { method: 'HEAD', headers: tus }))
  // Another server has just completed it, as this one was about to.
  if (response.status === 423) return offsetAt(handler, url)
  assert.equal(response.status, 200)
  return Number(response.headers.get('upload-offset'))
}

async function create(handler: TusHandler, length: number): Promise<string> {
  const headers = { ...tus, 'Upload-Length': String(length) }
  const response = await handler(new Request('http://a/files', { method: 'POST', headers }))
  assert.equal(response.status, 201)
  return response.headers.get('location') ?? ''
}

function servers(
  count: number,
  partSize = 5 * mebibyte,
  make = simulatedBucket,
): { handlers: TusHandler[]; bucket: ReturnType<typeof simulatedBucket> } {
  const next = random(count)
  // Answers take a while, and overtake each other.
  const bucket = make({ before: () => delay(next(4)), after: () => delay(next(4)) })
  const handlers = Array.from({ length: count }, () =>
    createTusHandler({ path: '/files', store: objectStore(bucket, { partSize, checkpointMs: 20 }) }),
  )
  return { handlers, bucket }
}

function contentOf(bucket: ReturnType<typeof simulatedBucket>, url: string): Buffer {
  return Buffer.from(bucket.objects.get(new URL(url).pathname.slice('/files/'.length))?.bytes ?? [])
}

describe('several servers on one bucket', () => {
  test('a connection that one server holds on to ends after the client went on at another: nothing of it counts', async () => {
    const { handlers, bucket } = servers(2, 8 * mebibyte)
    const [one, other] = handlers as [TusHandler, TusHandler]
    const bytes = bytesOf(32 * mebibyte, 1)
    const url = await create(one, bytes.byteLength)
    const body = stallingBody(bytes.subarray(0, 22 * mebibyte))
    const held = patch(one, url, 0, body.stream)
    // All of it is recorded: two parts, and as a tail six MiB, which would be a part of their own at the end.
    while ((await offsetAt(other, url)) < 22 * mebibyte) await delay(5)
    const offset = 22 * mebibyte
    // The other one sends parts under numbers that the first one would use next.
    const rest = patch(other, url, offset, new Blob([bytes.subarray(offset, 29 * mebibyte)]))
    assert.equal((await rest).status, 204)
    body.letGo()
    assert.equal((await held).status, 409)
    assert.equal(await offsetAt(one, url), 29 * mebibyte)
    assert.equal((await patch(one, url, 29 * mebibyte, new Blob([bytes.subarray(29 * mebibyte)]))).status, 204)
    assert.ok(contentOf(bucket, url).equals(bytes), 'the object differs from what was sent')
  })

  test('the last part of a short PATCH at a second server, held up, and a third one goes on: each has its own number', async () => {
    const hold = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    let holds = false
    const bucket = simulatedBucket({
      async before(call) {
        if (call !== 'putPart' || !holds) return
        holds = false
        reached.resolve()
        await hold.promise
      },
    })
    const [one, other, third] = [1, 2, 3].map(() =>
      createTusHandler({ path: '/files', store: objectStore(bucket, { partSize: 8 * mebibyte }) }),
    ) as [TusHandler, TusHandler, TusHandler]
    const bytes = bytesOf(40 * mebibyte, 5)
    const url = await create(one, bytes.byteLength)
    const put = (handler: TusHandler, from: number, to: number) =>
      patch(handler, url, from * mebibyte, new Blob([bytes.subarray(from * mebibyte, to * mebibyte)]))
    assert.equal((await put(one, 0, 8)).status, 204)
    holds = true
    const late = put(other, 8, 13)
    await reached.promise
    assert.equal((await put(third, 8, 24)).status, 204)
    hold.resolve()
    assert.equal((await late).status, 423)
    assert.equal((await put(third, 24, 40)).status, 204)
    assert.ok(contentOf(bucket, url).equals(bytes), 'the object differs from what was sent')
  })

  test('a client that stays at one server: no PATCH claims numbers with a write of its own; numbers are lost at a hop only', async () => {
    const { handlers, bucket } = servers(2, 5 * mebibyte)
    const [one, other] = handlers as [TusHandler, TusHandler]
    const bytes = bytesOf(100 * mebibyte, 3)
    const url = await create(one, bytes.byteLength)
    const put = async (handler: TusHandler, from: number, to: number) => {
      assert.equal((await patch(handler, url, from, new Blob([bytes.subarray(from, to)]))).status, 204)
    }
    const record = () => [...bucket.objects].find(([key]) => key.endsWith('.info'))?.[1].bytes ?? new Uint8Array(0)
    const nextPart = () => Number(/"nextPart":(\d+)/.exec(new TextDecoder().decode(record()))?.[1])
    const puts = () => bucket.calls.get('put') ?? 0
    const before = puts()
    for (let n = 0; n < 9; n++) await put(one, n * 5 * mebibyte, (n + 1) * 5 * mebibyte)
    assert.equal(puts() - before, 9, 'one record for each PATCH')
    const claimed = nextPart()
    assert.ok(claimed > 10, `numbers below ${claimed} are claimed`)
    // Not below what the first server may use.
    await put(other, 45 * mebibyte, 50 * mebibyte)
    assert.equal(puts() - before, 11, 'it has to claim some')
    const numbers = () => [...([...bucket.open.values()][0]?.parts.keys() ?? [])].sort((a, b) => a - b)
    assert.equal(numbers().at(-1), claimed)
    // What the first one had left is behind numbers that are in use.
    await put(one, 50 * mebibyte, 55 * mebibyte)
    assert.ok((numbers().at(-1) ?? 0) > claimed + 1, `numbers in use: ${numbers().join()}`)
    await put(one, 55 * mebibyte, bytes.byteLength)
    assert.ok(contentOf(bucket, url).equals(bytes), 'the object differs from what was sent')
  })

  test('a claim outlives neither its process nor what another one has recorded since', async () => {
    const { handlers, bucket } = servers(1, 5 * mebibyte)
    const [one] = handlers as [TusHandler]
    const bytes = bytesOf(20 * mebibyte, 4)
    const url = await create(one, bytes.byteLength)
    // It has read the record, and stands still before its first part.
    const reached = Promise.withResolvers<void>()
    const resumed = Promise.withResolvers<void>()
    const putPart = bucket.putPart.bind(bucket)
    let isFirst = true
    bucket.putPart = async (...args) => {
      if (isFirst) {
        isFirst = false
        reached.resolve()
        await resumed.promise
      }
      return putPart(...args)
    }
    const wrong = bytesOf(5 * mebibyte, 5)
    const paused = patch(one, url, 0, new Blob([wrong]))
    await reached.promise
    // The same server started anew.
    const again = createTusHandler({ path: '/files', store: objectStore(bucket, { partSize: 5 * mebibyte }) })
    assert.equal((await patch(again, url, 0, new Blob([bytes.subarray(0, 10 * mebibyte)]))).status, 204)
    resumed.resolve()
    assert.equal((await paused).status, 409)
    assert.equal((await patch(one, url, 10 * mebibyte, new Blob([bytes.subarray(10 * mebibyte)]))).status, 204)
    assert.ok(contentOf(bucket, url).equals(bytes), 'the object differs from what was sent')
  })

  for (const [seed, make] of [1, 2, 3, 4, 5, 6].flatMap((n) => [
    [n, simulatedBucket] as const,
    [n, blocksBucket] as const,
  ])) {
    const kind = make === blocksBucket ? 'blocks' : 'parts by number'
    test(`${kind}, clients that hop between three servers, leaving PATCHes behind (seed ${seed}): each upload identical`, async () => {
      const { handlers, bucket } = servers(3, 5 * mebibyte, make)
      const next = random(seed)
      await Promise.all(
        [1, 2, 3, 4].map(async (n) => {
          const bytes = bytesOf(mebibyte * 6 + next(9 * mebibyte), seed * n)
          const pick = () => handlers[next(handlers.length)] as TusHandler
          const url = await create(pick(), bytes.byteLength)
          const left: Promise<unknown>[] = []
          for (let round = 0; ; round++) {
            const offset = await offsetAt(pick(), url)
            if (offset === bytes.byteLength) break
            const end = round > 20 ? bytes.byteLength : Math.min(bytes.byteLength, offset + 1 + next(4 * mebibyte))
            const chunk = bytes.subarray(offset, end)
            if (round <= 20 && next(3) === 0) {
              const body = stallingBody(chunk)
              left.push(patch(pick(), url, offset, body.stream))
              await delay(next(10))
              // Gone, and the server hears of it sooner or later.
              left.push(delay(next(60)).then(body.letGo))
            } else {
              const { status } = await patch(pick(), url, offset, new Blob([chunk]))
              assert.ok([204, 409, 423].includes(status), `answered ${status}`)
            }
          }
          await Promise.all(left)
          assert.ok(contentOf(bucket, url).equals(bytes), 'the object differs from what was sent')
        }),
      )
      for await (const leftover of objectStore(bucket, { leftoverAgeMs: 0 }).leftovers()) await leftover.remove()
      assert.equal(bucket.open.size, 0, 'multiparts are left')
    })
  }
})
