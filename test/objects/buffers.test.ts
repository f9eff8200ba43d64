import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { type Buffers, createBuffers, type Holder } from '../../src/objects/buffers.ts'
import { random } from './support.ts'

const size = 100

beforeEach(() => {
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
})

const holder = (release = () => {}): Holder => ({ held: 0, since: 0, release })

interface Taking {
  buffer: Uint8Array<ArrayBuffer> | null
}

/** A take, and whether it was granted. */
function taking(buffers: Buffers, bytes: number, by: Holder): Taking {
  const state: Taking = { buffer: null }
  void buffers.take(bytes, by).then((buffer) => (state.buffer = buffer))
  return state
}

const sizeOf = ({ buffer }: Taking): number | undefined => buffer?.byteLength

/** Lets time pass, and what waits for a promise go on. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    mock.timers.tick(Math.min(left, 50))
    await settled()
  }
}

async function settled(): Promise<void> {
  for (let n = 0; n < 5; n++) await Promise.resolve()
}

test('buffers: below the soft limit everybody gets what they ask for at once, exactly so many bytes', async () => {
  const buffers = createBuffers(1000, 500)
  const one = holder()
  for (let n = 1; n <= 5; n++) {
    const got = taking(buffers, size, one)
    await settled()
    assert.deepEqual([sizeOf(got), buffers.used, one.held], [size, n * size, n])
  }
  const sixth = taking(buffers, size, one)
  await pass(10_000)
  assert.equal(sixth.buffer, null)
})

for (const [title, isSlow, shorter] of [
  ['soon where a slow client fills another', true, 900],
  ['after a wait where the storage is slow', false, 1400],
] as const) {
  test(`buffers: above the soft limit the first one comes ${title}, a second one when there is room`, async () => {
    const buffers = createBuffers(1000, 200)
    const [a, b] = [holder(), holder()]
    const first = taking(buffers, 2 * size, a)
    await settled()
    // Full, and on its way.
    if (!isSlow) a.since = 0
    const waits = taking(buffers, size, b)
    const second = taking(buffers, size, a)
    await pass(shorter)
    assert.equal(waits.buffer, null)
    await pass(400)
    assert.equal(sizeOf(waits), size)
    await pass(3000)
    assert.equal(second.buffer, null)
    assert.ok(first.buffer && waits.buffer)
    buffers.give(first.buffer, a)
    await settled()
    assert.equal(sizeOf(second), size)
  })
}

test('buffers: where the storage is slow, twice the soft limit after a short wait, beyond that less after a long one', async () => {
  const buffers = createBuffers(1000, 200)
  const taken = Array.from({ length: 6 }, () => {
    const own = holder()
    const got: Taking = { buffer: null }
    void buffers.take(size, own, size / 2).then((buffer) => {
      got.buffer = buffer
      // Full, and on its way.
      own.since = 0
    })
    return got
  })
  const sizes = () => taken.map(sizeOf)
  await pass(1400)
  assert.deepEqual(sizes(), [size, size, ...Array(4).fill(undefined)])
  await pass(400)
  assert.deepEqual(sizes(), [size, size, size, size, undefined, undefined])
  await pass(8000)
  assert.equal(buffers.used, 4 * size)
  await pass(500)
  assert.deepEqual(sizes(), [size, size, size, size, size / 2, size / 2])
})

test('buffers: while slow clients have much, others get less, at once', async () => {
  const buffers = createBuffers(1000, 200)
  const slow = [taking(buffers, size, holder()), taking(buffers, size, holder())]
  await pass(1100)
  const got: Taking = { buffer: null }
  void buffers.take(size, holder(), size / 2).then((buffer) => (got.buffer = buffer))
  await settled()
  assert.deepEqual([...slow, got].map(sizeOf), [size, size, size / 2])
})

test('buffers: above the soft limit one of another size is used again rather than a new one', async () => {
  const buffers = createBuffers(1000, 200)
  const [a, b] = [holder(), holder()]
  const first = await buffers.take(size, a)
  await buffers.take(size, b)
  await pass(1100)
  buffers.give(first, a)
  // There is room for half as much, beside the slow one.
  assert.equal(await buffers.take(size + 1, a, size / 2), first)
  buffers.give(first, a)
  // But none of fewer than were asked for at least.
  assert.equal((await buffers.take(size + 2, a, size + 1)).byteLength, size + 1)
})

test('buffers: never more than the budget, and everybody who waits gets their turn, in any order of taking and giving', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const next = random(seed)
    const [budget, soft] = [1000, Math.floor(next() * 1200)]
    const buffers = createBuffers(budget, soft)
    let done = 0
    let held = 0
    const uploads = Array.from({ length: 30 }, async () => {
      const own = holder()
      for (let n = 0; n < 5; n++) {
        const buffer = await buffers.take(1 + Math.floor(next() * 300), own)
        held += buffer.byteLength
        assert.ok(held <= buffers.used && buffers.used <= budget, `${held} bytes, said to be ${buffers.used}`)
        await new Promise((resolve) => setTimeout(resolve, 1 + next() * 100))
        held -= buffer.byteLength
        if (next() < 0.5) buffers.give(buffer, own)
        else buffers.forget(buffer, own)
      }
      assert.equal(own.held, 0)
      done++
    })
    for (let n = 0; n < 1000 && done < uploads.length; n++) await pass(50)
    assert.equal(done, uploads.length)
    assert.equal(buffers.used, 0)
    await Promise.all(uploads)
  }
})

test('buffers: one larger than the budget is given when it is the only one', async () => {
  const buffers = createBuffers(1000, 1000)
  const small = holder()
  const first = taking(buffers, size, small)
  await settled()
  const large = taking(buffers, 5000, holder())
  await pass(500)
  assert.equal(large.buffer, null)
  assert.ok(first.buffer)
  buffers.give(first.buffer, small)
  await settled()
  assert.equal(sizeOf(large), 5000)
})

test('buffers: who needs much is not kept waiting for ever by many who need little', async () => {
  const buffers = createBuffers(1000, 1000)
  let running = true
  const busy = Array.from({ length: 20 }, async (_, n) => {
    const own = holder()
    while (running) {
      const buffer = await buffers.take(size, own)
      await new Promise((resolve) => setTimeout(resolve, 40 + n))
      buffers.give(buffer, own)
    }
  })
  await pass(100)
  const large = taking(buffers, 900, holder())
  for (let n = 0; n < 100 && large.buffer === null; n++) await pass(50)
  assert.equal(sizeOf(large), 900)
  running = false
  assert.ok(large.buffer)
  buffers.give(large.buffer, holder())
  for (let n = 0; n < 100; n++) await pass(50)
  await Promise.all(busy)
})

test('buffers: whoever fills one for longest is asked to let go when others have waited for long, one after another', async () => {
  const asked: string[] = []
  const buffers = createBuffers(200, 200)
  const slow = ['a', 'b'].map((name) => holder(() => asked.push(name)))
  for (const each of slow) {
    taking(buffers, size, each)
    await pass(100)
  }
  taking(buffers, size, holder())
  await pass(1800)
  assert.deepEqual(asked, [])
  await pass(600)
  assert.deepEqual(asked, ['a', 'b'])
  await pass(1000)
  // Not again at once: they have been told.
  assert.deepEqual(asked, ['a', 'b'])
  await pass(1500)
  assert.deepEqual(asked, ['a', 'b', 'a', 'b'])
})

test('buffers: one that is given back is used again for the same size, one that is forgotten is not', async () => {
  const buffers = createBuffers(10_000, 10_000)
  const own = holder()
  const first = await buffers.take(size, own)
  buffers.give(first, own)
  const again = await buffers.take(size, own)
  assert.equal(again, first)
  buffers.forget(again, own)
  assert.notEqual(await buffers.take(size, own), first)
})

test('buffers: who is alone and will ask for more gets memory that does for that, which is all counted', async () => {
  const buffers = createBuffers(1000, 250)
  const own = holder()
  const first = await buffers.take(size, own, size, 2 * size)
  assert.deepEqual([first.byteLength, buffers.used, own.held], [size, 2 * size, 1])
  buffers.give(first, own)
  assert.equal(buffers.used, 0)
  const larger = await buffers.take(2 * size, own)
  assert.deepEqual([larger.byteLength, larger.buffer === first.buffer, buffers.used], [2 * size, true, 2 * size])
  buffers.give(larger, own)
  // Of memory that is there already, too, unless it is far more.
  const less = await buffers.take(size, own)
  assert.deepEqual([less.byteLength, less.buffer === first.buffer, buffers.used], [size, true, 2 * size])
  const [few, more] = [await buffers.take(10, own), await buffers.take(size, own, size, 4 * size)]
  assert.deepEqual([few.byteLength, more.buffer.byteLength, buffers.used], [10, size, 3 * size + 10])
  for (const buffer of [less, few, more]) buffers.forget(buffer, own)
  assert.equal(buffers.used, 0)
  const other = holder()
  await buffers.take(size, other)
  await buffers.take(size, own, size, 2 * size)
  assert.equal(buffers.used, 2 * size)
})

test('buffers: a large one lies in memory that the system gets back as soon as it is free, and has no more bytes for that', async () => {
  const mib = 2 ** 20
  const buffers = createBuffers(100 * mib, 100 * mib)
  const large = await buffers.take(20 * mib, holder())
  assert.deepEqual([large.byteLength, buffers.used], [20 * mib, 20 * mib])
  assert.ok(large.buffer.byteLength > 32 * mib)
})

test('buffers: what is kept for later counts for the budget, and sizes that nobody asks for any more make way', async () => {
  const buffers = createBuffers(1000, 1000)
  const own = holder()
  // Odd ones first.
  const odd = await Promise.all([1, 2, 3, 4, 5].map((bytes) => buffers.take(bytes, own)))
  for (const buffer of odd) buffers.give(buffer, own)
  const usual = await buffers.take(size, own)
  buffers.give(usual, own)
  assert.equal(await buffers.take(size, own), usual)
  buffers.give(usual, own)
  // As much as the budget allows, so that nothing may be kept.
  const all = await buffers.take(1000, own)
  buffers.forget(all, own)
  assert.notEqual(await buffers.take(size, own), usual)
})
