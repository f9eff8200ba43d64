/** The writer of appended bytes, on a disk that fails for a while: `fs` is replaced before the store picks it up. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, mock, test } from 'node:test'
import { planned } from '../support/planned.ts'
import { bodyOf, folders, pattern, storeError } from './support.ts'

type Done = (error: NodeJS.ErrnoException | null, count: number) => void

/** Decides about each write: how many bytes it takes, or with what it fails. */
let disk: {
  write: (length: number) => number | string
  /** Of those that are not made in the thread pool. */
  writeHere?: (length: number) => number | string
  sync: () => string | undefined
  writes: number
}

const { write, writev, writeSync, writevSync, fdatasync } = fs
fs.write = like(write, (fd: number, chunk: Uint8Array, from: number, length: number, position: number, done: Done) => {
  const taken = meet(length, done)
  if (taken !== null) write(fd, chunk, from, taken, position, done)
})
fs.writev = like(writev, (fd: number, chunks: Uint8Array[], position: number, done: Done) => {
  const all = Buffer.concat(chunks)
  const taken = meet(all.length, done)
  if (taken === all.length) writev(fd, chunks, position, done)
  else if (taken !== null) write(fd, all, 0, taken, position, done)
})
// That of records goes through it too.
fs.writeSync = ((fd: number, chunk: Uint8Array, from: number, length: number, position: number) => {
  if (disk?.writeHere === undefined) return writeSync(fd, chunk, from, length, position)
  const taken = disk.writeHere(length)
  if (typeof taken === 'string') throw failure(taken, 'write')
  return writeSync(fd, chunk, from, taken, position)
}) as typeof fs.writeSync
fs.writevSync = ((fd: number, chunks: Uint8Array[], position: number) => {
  if (disk?.writeHere === undefined) return writevSync(fd, chunks, position)
  const all = Buffer.concat(chunks)
  const taken = disk.writeHere(all.length)
  if (typeof taken === 'string') throw failure(taken, 'writev')
  return writeSync(fd, all, 0, taken, position)
}) as typeof fs.writevSync
fs.fdatasync = like(fdatasync, (fd: number, done: fs.NoParamCallback) => {
  const code = disk.sync()
  if (code === undefined) fdatasync(fd, done)
  else setImmediate(() => done(failure(code, 'fdatasync')))
})

/** With what tells `promisify` how the original's results are named. */
function like<T extends object>(original: T, replacement: unknown): T {
  const made = replacement as T
  for (const key of Object.getOwnPropertySymbols(original)) {
    Object.defineProperty(made, key, Object.getOwnPropertyDescriptor(original, key) ?? {})
  }
  return made
}

function meet(length: number, done: Done): number | null {
  disk.writes++
  const taken = disk.write(length)
  if (typeof taken === 'number') return taken
  setImmediate(() => done(failure(taken, 'write'), 0))
  return null
}

function failure(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall })
}

const { fileStore } = await import('../../src/stores/fs.ts')
const { blockBytes } = await import('../../src/files/blocks.ts')
const { gatherer } = await import('../../src/files/gather.ts')

const folder = folders()
const MiB = 1 << 20
const KiB64 = 1 << 16

let clock = performance.now()
/** A time long after any pause on this thread. */
const rested = (): number => (clock += 3_600_000)

for (const place of ['in the thread pool', 'on this thread'] as const) failing(place)

function failing(place: 'in the thread pool' | 'on this thread'): void {
  const isHere = place === 'on this thread'

  /** Decides about each write of the append. */
  function decide(answer: (length: number) => number | string): void {
    disk.writes = 0
    disk.write = answer
    if (!isHere) return
    disk.writeHere = (length) => {
      disk.writes++
      return answer(length)
    }
  }

  describe(`appending where a write fails, ${place}`, () => {
    beforeEach(() => {
      disk = { write: (length) => length, sync: () => undefined, writes: 0 }
      // Long after any pause on this thread, or within one.
      const now = isHere ? rested() : -1
      mock.method(performance, 'now', () => now)
    })
    afterEach(() => mock.restoreAll())

    for (const [what, first, kept, code] of [
      ['fails once', ['ENOSPC'], 0, 'full'],
      ['is taken in part, then fails once', [100_000, 'EIO'], 100_000, 'unavailable'],
    ] as const) {
      test(`a write ${what} and would then work, slow body: nothing more is written, the file is a prefix`, async (t) => {
        const directory = folder()
        const store = fileStore({ directory })
        const upload = await store.create(planned('x'))
        const bytes = pattern(4 * MiB)
        const answers: (number | string)[] = [...first]
        const failed = Promise.withResolvers<void>()
        decide((length) => {
          const answer = answers.shift() ?? length
          if (typeof answer === 'string') setImmediate(failed.resolve)
          return answer
        })
        t.mock.timers.enable({ apis: ['setTimeout'] })
        const size = 20 * KiB64
        async function* body(): AsyncGenerator<Uint8Array> {
          try {
            // All taken before the first write is answered: some of it waits when that fails.
            for (let at = 0; at < size; at += KiB64) yield bytes.subarray(at, at + KiB64)
            await failed.promise
            for (let turn = 0; turn < 5; turn++) {
              await new Promise(setImmediate)
              t.mock.timers.tick(1_000)
            }
            yield bytes.subarray(size)
          } finally {
            // A body that takes its time to end, too.
            for (let turn = 0; turn < 5; turn++) {
              await new Promise(setImmediate)
              t.mock.timers.tick(1_000)
            }
          }
        }
        await assert.rejects(store.append(upload, body()), storeError(code))
        assert.equal(disk.writes, first.length, 'writes')
        assert.ok(bytes.subarray(0, kept).equals(fs.readFileSync(join(directory, 'x'))))
        assert.equal((await store.get('x'))?.offset, kept)
      })
    }

    test('a sync on the way fails: the append fails, the bytes written stay', async () => {
      const directory = folder()
      const store = fileStore({ directory })
      const upload = await store.create(planned('x'))
      disk.sync = () => 'EIO'
      await assert.rejects(store.append(upload, bodyOf(Buffer.alloc(40 * MiB))), storeError('unavailable', /fdatasync/))
      assert.equal((await store.get('x'))?.offset, 40 * MiB)
    })
  })
}

test('vectors: written on this thread, unless it has to wait for the disk', async (t) => {
  disk = { write: (length) => length, sync: () => undefined, writes: 0 }
  let now = rested()
  t.mock.method(performance, 'now', () => now)
  const here: number[] = []
  let takesMs = 0
  disk.writeHere = (length) => {
    here.push(length)
    now += takesMs
    return length
  }
  const directory = folder()
  const store = fileStore({ directory })
  const bytes = pattern(2 * MiB)
  const upload = await store.create(planned('x'))
  const chunks = (part: Buffer) => Array.from({ length: 16 }, (_, n) => part.subarray(n * KiB64, (n + 1) * KiB64))
  here.length = 0
  const half = await store.append(upload, bodyOf(...chunks(bytes.subarray(0, MiB))))
  assert.deepEqual([here, disk.writes], [[MiB / 2, MiB / 2], 0])
  takesMs = 10
  await store.append(half, bodyOf(...chunks(bytes.subarray(MiB))))
  assert.deepEqual([here.length, disk.writes], [3, 1])
  assert.ok(bytes.equals(fs.readFileSync(join(directory, 'x'))))
})

describe('appending little', () => {
  beforeEach(() => {
    disk = { write: (length) => length, sync: () => undefined, writes: 0 }
    // No write is slow, however busy this machine is, and none was for long.
    const now = rested()
    mock.method(performance, 'now', () => now)
  })
  afterEach(() => mock.restoreAll())

  test('a small append: written at once, in as many turns as the disk takes', async () => {
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.create(planned('x'))
    const bytes = pattern(KiB64)
    const lengths: number[] = []
    disk.writeHere = (length) => {
      lengths.push(length)
      return Math.min(length, 40_000)
    }
    assert.equal((await store.append(upload, bodyOf(bytes))).offset, KiB64)
    assert.deepEqual(lengths, [KiB64, KiB64 - 40_000])
    assert.equal(disk.writes, 0, 'writes in the thread pool')
    assert.ok(bytes.equals(fs.readFileSync(join(directory, 'x'))))
  })

  for (const before of [0, 10]) {
    for (const sync of ['complete', 'never'] as const) {
      test(`the rest of an upload in one chunk, behind ${before} bytes, sync ${sync}: in as many turns as the disk takes`, async () => {
        const directory = folder()
        const store = fileStore({ directory, sync })
        const bytes = pattern(before + KiB64)
        let upload = await store.create(planned('x', { length: bytes.length }))
        upload = await store.append(upload, bodyOf(bytes.subarray(0, before)))
        const take = (length: number) => Math.min(length, 40_000)
        disk = { write: take, writeHere: take, sync: () => undefined, writes: 0 }
        const offsets: number[] = []
        const freed: number[] = []
        const chunk = Uint8Array.from(bytes.subarray(before))
        const options = {
          onProgress: (offset: number) => void offsets.push(offset),
          freeChunk: ({ length }: Uint8Array) => void freed.push(length),
        }
        assert.equal((await store.append(upload, bodyOf(chunk), options)).offset, bytes.length)
        // One whose writes are synced waits for the disk.
        assert.equal(disk.writes, sync === 'complete' && before === 0 ? 2 : 0, 'writes in the thread pool')
        assert.deepEqual([offsets, freed], [[bytes.length], [KiB64]])
        assert.ok(bytes.equals(fs.readFileSync(join(directory, 'x'))))
      })
    }
  }

  for (const length of [null, 10]) {
    test(`a small append that fails, length ${length}: the reason is told, the offset stays`, async () => {
      const store = fileStore({ directory: folder(), sync: 'never' })
      const upload = await store.create(planned('x', { length }))
      disk.writeHere = () => 'ENOSPC'
      await assert.rejects(store.append(upload, bodyOf(pattern(10))), storeError('full'))
      assert.equal((await store.get('x'))?.offset, 0)
    })
  }

  test('small appends wait: for a while, ever longer, they are left to the thread pool, until many were quick', async (t) => {
    const store = fileStore({ directory: folder() })
    let now = rested()
    t.mock.method(performance, 'now', () => now)
    let upload = await store.create(planned('x'))
    /** How a small append is written that would take so long on this thread, in milliseconds. */
    const append = async (takesMs: number) => {
      let isHere = false
      disk.writeHere = (length) => {
        isHere = true
        now += takesMs
        return length
      }
      upload = await store.append(upload, bodyOf(pattern(10)))
      return isHere ? 'here' : 'elsewhere'
    }
    /** Whether a slow one keeps those after it elsewhere for so long and no longer. */
    const pauses = async (takesMs: number, ms: number) => {
      assert.equal(await append(takesMs), 'here')
      now += ms - 1
      assert.equal(await append(0), 'elsewhere')
      now += 1
    }
    for (let count = 0; count < 50; count++) await append(0)
    // Less than what tells the disk from another process that had the processor.
    for (const ms of [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]) await pauses(20, ms)
    for (let count = 0; count < 50; count++) assert.equal(await append(0), 'here')
    await pauses(20, 20)
    await pauses(60, 5000)
    await pauses(20, 5000)
    for (let count = 0; count < 50; count++) assert.equal(await append(0), 'here')
    await pauses(20, 20)
    // The disk, again and again.
    now += 60_000
    for (const ms of [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]) await pauses(60, ms)
    now += 59_000
    await pauses(60, 60_000)
    now += 60_000
    await pauses(60, 5_000)
  })
})

describe('chunks that can be freed', () => {
  test('a chunk is freed once, when it is written and not before', async () => {
    disk = { write: (length) => length, sync: () => undefined, writes: 0 }
    const directory = folder()
    const store = fileStore({ directory })
    const upload = await store.create(planned('x'))
    const bytes = pattern(3 * MiB)
    const freed: Uint8Array[] = []
    const freeChunk = (chunk: Uint8Array) => {
      freed.push(chunk)
      chunk.fill(0)
    }
    const chunks = Array.from({ length: 48 }, (_, n) => Buffer.from(bytes.subarray(n * KiB64, (n + 1) * KiB64)))
    const done = await store.append(upload, bodyOf(...chunks), { freeChunk })
    assert.equal(done.offset, bytes.length)
    assert.ok(bytes.equals(fs.readFileSync(join(directory, 'x'))))
    assert.deepEqual(new Set(freed), new Set(chunks))
    assert.equal(freed.length, chunks.length)
  })

  const own = (length: number, seed: number): Uint8Array => Uint8Array.from(pattern(length, seed))

  test('large chunks are kept as they are until a small one begins a block; all in order', () => {
    const waiting = gatherer(() => {})
    const chunks = [50_000, 40_000, 10, 20, 30_000].map(own)
    for (const chunk of chunks) waiting.add(chunk)
    const pieces = waiting.take()
    assert.deepEqual(
      pieces.map(({ length }) => length),
      [50_000, 40_000, 30_030],
    )
    assert.ok(pieces[0] === chunks[0] && pieces[1] === chunks[1])
    assert.ok(Buffer.concat(chunks).equals(Buffer.concat(pieces)))
  })

  test('a large chunk, a byte, a large chunk, a byte: no block for each', () => {
    const waiting = gatherer(() => {})
    let bytes = 0
    for (let n = 0; n < 64; n++) {
      for (const chunk of [own(16_384, n), own(1, n)]) {
        waiting.add(chunk)
        bytes += chunk.length
      }
    }
    assert.ok(waiting.take().length <= 2 + 2 * Math.ceil(bytes / blockBytes))
  })

  test('a block that is more than half full: kept as it is', () => {
    const waiting = gatherer(() => {})
    const chunk = new Uint8Array(65_536).subarray(0, 40_000)
    for (const each of [own(20_000, 1), chunk]) waiting.add(each)
    assert.equal(waiting.take()[1], chunk)
  })

  test('what is copied is freed at once, what is kept is not', () => {
    const freed: Uint8Array[] = []
    const waiting = gatherer((chunk) => freed.push(chunk))
    const [first, small, large] = [20_000, 10, 30_000].map(own)
    assert.ok(first && small && large)
    for (const chunk of [first, small, large]) waiting.add(chunk)
    assert.deepEqual(freed, [small, large])
    assert.ok(waiting.take()[0] === first)
  })

  test('a large chunk that shares its buffer: copied, for it cannot be freed', () => {
    const waiting = gatherer(() => {})
    waiting.add(own(1, 1))
    waiting.add(new Uint8Array(65_536).subarray(9, 20_009))
    assert.ok(waiting.take().every(({ buffer }) => buffer.byteLength !== 65_536))
  })
})
