/** A process goes on from the record that it wrote last itself, whatever others have done to it since. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { planned, buckets, type Replica, type Answer, replica } from './recent-support.ts'
import type { SimulatedBucket } from './simulated-bucket.ts'
import { another, clearLeftovers, data, get, isSame, part, random } from './support.ts'

/** How much of the upload there is when the first server turns its back, and what it is sent then. */
const pieces: Record<string, { before: number; bytes: Uint8Array; length: number; headers?: Record<string, string> }> =
  {
    'a small piece': { before: 3000, bytes: data(2000, 2), length: 300_000 },
    'a part': { before: part, bytes: data(part, 2), length: 300_000 },
    'two parts and a tail': { before: part + 500, bytes: data(2 * part + 2000, 2), length: 300_000 },
    'the whole upload': { before: 0, bytes: data(5000, 2), length: 5000 },
    'the whole upload, in parts': { before: 0, bytes: data(2 * part + 5000, 2), length: 2 * part + 5000 },
    'the last piece': { before: 2 * part, bytes: data(5000, 2), length: 2 * part + 5000 },
    'the last part': { before: part, bytes: data(part, 2), length: 2 * part },
    'the last piece of what was small': { before: 1000, bytes: data(1000, 2), length: 2000 },
    'more than there is room for': { before: 1000, bytes: data(5000, 2), length: 2000 },
    'nothing at all': { before: 1000, bytes: data(0, 2), length: 2000 },
    'what fails its checksum': {
      before: 1000,
      bytes: data(5000, 2),
      length: 300_000,
      headers: { 'Upload-Checksum': 'sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=' },
    },
  }

interface Scene {
  readonly bucket: SimulatedBucket
  readonly other: Replica
  readonly whole: Uint8Array
  readonly before: number
}

/** What another server does meanwhile, and the answer that the first one gives after it. */
const events: Record<string, { happen: (scene: Scene) => Promise<void>; expected: (scene: Scene) => Answer | number }> =
  {
    'has appended': {
      async happen({ other, whole, before }) {
        assert.equal((await other.patch(before, whole.subarray(before, before + 700))).status, 204)
      },
      expected: ({ before }) => ({ status: 409, offset: before + 700 }),
    },
    'has completed it': {
      async happen({ other, whole, before }) {
        assert.equal((await other.patch(before, whole.subarray(before))).status, 204)
      },
      expected: ({ whole }) => ({ status: 409, offset: whole.byteLength }),
    },
    'has removed it': {
      async happen({ other }) {
        assert.equal(await other.remove(), 204)
      },
      expected: () => 404,
    },
    'has let it expire': {
      async happen({ bucket }) {
        const store = another(bucket)
        await store.update(await get(store, 'a'), { expiresAt: 1 })
      },
      expected: () => 410,
    },
    'has swept it': {
      async happen({ bucket, other }) {
        const store = another(bucket)
        await store.update(await get(store, 'a'), { expiresAt: 1 })
        assert.equal((await other.handler.sweep()).removed, 1)
      },
      expected: () => 404,
    },
    'has removed it and made another one': {
      async happen({ other, whole }) {
        assert.equal(await other.remove(), 204)
        assert.equal(await other.post(whole.byteLength), 201)
        assert.equal((await other.patch(0, whole.subarray(0, 400))).status, 204)
      },
      expected: () => ({ status: 409, offset: 400 }),
    },
    'has removed it and made a final upload of that name': {
      async happen({ bucket, other }) {
        assert.equal(await other.remove(), 204)
        const store = another(bucket)
        const concat = { type: 'final', value: 'final;/files/b', partials: ['b'] } as const
        await store.create({ ...planned, length: null, concat })
      },
      expected: () => 403,
    },
  }

for (const [kind, make] of Object.entries(buckets)) {
  describe(`${kind}: between two PATCHes at one server another one`, () => {
    for (const [what, { happen, expected }] of Object.entries(events)) {
      for (const [which, { before, bytes, length, headers }] of Object.entries(pieces)) {
        test(`${what}; ${which}: answered by the record as it is, nothing changed`, async () => {
          const bucket = make()
          const [one, other] = [replica(bucket), replica(bucket)]
          const whole = data(length)
          assert.equal(await one.post(length), 201)
          if (before > 0) assert.equal((await one.patch(0, whole.subarray(0, before))).status, 204)
          const scene = { bucket, other, whole, before }
          await happen(scene)
          const objects = new Map(bucket.objects)
          const answer = await one.patch(before, bytes, headers)
          const right = expected(scene)
          assert.deepEqual(typeof right === 'number' ? answer.status : answer, right)
          assert.deepEqual([...bucket.objects.keys()], [...objects.keys()])
          for (const [key, { version }] of bucket.objects) assert.equal(version, objects.get(key)?.version, key)
          // Whoever has it goes on, and nothing is left of what was in vain.
          const { offset } = await other.head()
          if (answer.status === 409) {
            if (offset !== length)
              assert.equal((await other.patch(offset ?? 0, whole.subarray(offset ?? 0))).status, 204)
            assert.ok(isSame(bucket.objects.get('a')?.bytes, whole), 'it has other bytes')
          }
          await clearLeftovers(another(bucket))
          if (answer.status !== 410) assert.equal(bucket.open.size, 0, 'multiparts are left')
          if (answer.status === 404) assert.equal(bucket.objects.size, 0, 'objects are left')
        })
      }
    }
  })

  test(`${kind}: a record that another server has changed at the same offset: 423, and the same once more is taken`, async () => {
    const bucket = make()
    const [one, store] = [replica(bucket), another(bucket)]
    const whole = data(2 * part)
    await one.post(whole.byteLength)
    await one.patch(0, whole.subarray(0, part))
    await store.update(await get(store, 'a'), { expiresAt: Date.now() + 7_200_000 })
    assert.equal((await one.patch(part, whole.subarray(part))).status, 423)
    assert.equal((await one.patch(part, whole.subarray(part))).status, 204)
    assert.ok(isSame(bucket.objects.get('a')?.bytes, whole))
  })

  test(`${kind}: a body too long for what is remembered, but not for the upload that has taken its place: 423, and then it is taken`, async () => {
    const bucket = make()
    const [one, other] = [replica(bucket), replica(bucket)]
    const whole = data(5000)
    await one.post(1000)
    await other.remove()
    await other.post(whole.byteLength)
    assert.equal((await one.patch(0, whole)).status, 423)
    assert.equal((await one.patch(0, whole)).status, 204)
    assert.ok(isSame(bucket.objects.get('a')?.bytes, whole))
  })

  test(`${kind}: a storage that is out when a remembered record fails: 503, no 404`, async () => {
    let isOut = false
    const bucket = make({
      before: (call) => {
        if (isOut && call !== 'createMultipart' && call !== 'putPart') throw new TypeError('fetch failed')
      },
    })
    const one = replica(bucket)
    await one.post(2 * part)
    await one.patch(0, data(part))
    isOut = true
    assert.ok((await one.patch(part, data(part))).status >= 500)
    isOut = false
    assert.deepEqual(await one.head(), { status: 200, offset: part })
  })

  test(`${kind}: another server goes on while the first one is held up at any of its calls: each byte is where it was told to be`, async () => {
    for (const { before, bytes: sent, length } of Object.values(pieces).slice(0, 8)) {
      const whole = data(length)
      const size = sent.byteLength
      for (let at = 1, more = true; more; at++) {
        let calls = 0
        let held: (() => Promise<void>) | null = null
        more = false
        const bucket = make({
          async before() {
            if (held === null || ++calls !== at) return
            const work = held
            held = null
            more = true
            await work()
          },
        })
        const [one, other] = [replica(bucket), replica(bucket)]
        await one.post(length)
        if (before > 0) await one.patch(0, whole.subarray(0, before))
        let wasTaken: Answer | null = null
        held = async () => {
          const answer = await other.patch(before, whole.subarray(before, before + Math.min(700, size)))
          if (answer.status === 204) wasTaken = answer
        }
        const { status } = await one.patch(before, whole.subarray(before, before + size))
        held = null
        assert.ok([204, 409, 423].includes(status), `answered ${status} at ${at}`)
        for (let round = 0; ; round++) {
          const { offset, status: asked } = await other.head()
          if (asked === 423 && round < 5) continue
          assert.ok(offset !== null && offset >= ((wasTaken as Answer | null)?.offset ?? 0), 'the offset went back')
          if (offset === length) break
          assert.ok(round < 5, 'it does not end')
          await other.patch(offset, whole.subarray(offset))
        }
        assert.ok(isSame(bucket.objects.get('a')?.bytes, whole), `it has other bytes, held up at ${at}`)
        await clearLeftovers(another(bucket))
        assert.equal(bucket.open.size, 0, 'multiparts are left')
      }
    }
  })

  test(`${kind}: servers that take turns at random with what is right, late and wrong: each answer and each byte is the model's`, async () => {
    const seeds = Number(process.env['RECENT_SEEDS'] ?? 60)
    for (let seed = 1; seed <= seeds; seed++)
      await turns(make(seed % 2 === 0 ? { streams: () => {} } : {}), random(seed), `seed ${seed}`)
  })
}

/** One request at a time, so that there is one right answer to each; what is sent late or twice has other bytes. */
async function turns(bucket: SimulatedBucket, next: () => number, seed: string): Promise<void> {
  const below = (most: number): number => Math.floor(next() * most)
  const replicas = Array.from({ length: 2 + below(2) }, () => replica(bucket))
  let one = replicas[0] as Replica
  let model = null as { bytes: Uint8Array; offset: number; length: number } | null
  for (let step = 0; step < 30; step++) {
    // Mostly it stays where it is, as clients do.
    if (below(3) === 0) one = replicas[below(replicas.length)] as Replica
    const what = below(10)
    const why = `${seed}, step ${step}`
    if (model === null) {
      const length = 1 + below(below(2) === 0 ? 20_000 : 4 * part)
      model = { bytes: data(length, 1 + below(1000)), offset: 0, length }
      assert.equal(await one.post(length), 201, why)
    } else if (what === 0) {
      assert.equal(await one.remove(), 204, why)
      for (const { status } of [await one.head(), await one.patch(model.offset, data(100, 9))])
        assert.equal(status, 404, why)
      // Sent to one that may remember.
      const late = replicas[below(replicas.length)] as Replica
      assert.equal((await late.patch(model.offset, data(100, 9))).status, 404, why)
      model = null
    } else if (what === 1) {
      assert.deepEqual(await one.head(), { status: 200, offset: model.offset }, why)
    } else if (what < 4) {
      const offset = below(model.length)
      if (offset === model.offset) continue
      assert.deepEqual(
        await one.patch(offset, data(1 + below(model.length - offset), 7)),
        { status: 409, offset: model.offset },
        why,
      )
    } else if (model.offset < model.length) {
      const most = model.length - model.offset
      const size = below(4) === 0 ? most : 1 + below(Math.min(most, below(2) === 0 ? 3000 : 2 * part))
      const chunk = model.bytes.subarray(model.offset, model.offset + size)
      const told: Record<string, string> = below(2) === 0 ? { 'Content-Length': String(size) } : {}
      let { status } = await one.patch(model.offset, chunk, told)
      // It remembered an upload of that name, with this offset, that has been replaced since.
      if (status === 423) status = (await one.patch(model.offset, chunk, told)).status
      assert.equal(status, 204, why)
      model = { ...model, offset: model.offset + size }
    }
    if (model !== null && model.offset === model.length) {
      assert.ok(isSame(bucket.objects.get('a')?.bytes, model.bytes), `${why}: it has other bytes`)
    } else assert.equal(bucket.objects.has('a'), false, `${why}: there is an object`)
  }
  await clearLeftovers(another(bucket))
  const isOpen = model !== null && model.offset < model.length
  assert.ok(bucket.open.size <= (isOpen ? 1 : 0), `${seed}: multiparts are left`)
}
