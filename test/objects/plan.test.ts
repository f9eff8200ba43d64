import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BucketLimits } from '../../src/objects/bucket.ts'
import {
  isUsedUp,
  largestStreamedBytes,
  leastBytes,
  mayBeShort,
  partBytes,
  type PlanState,
  streamedBytes,
} from '../../src/objects/plan.ts'
import { s3Limits } from './simulated-bucket.ts'
import { random } from './support.ts'

const mib = 2 ** 20
const gib = 2 ** 30
const tib = 2 ** 40

/** As the storages have them. */
const storages: Record<string, BucketLimits> = {
  S3: s3Limits,
  R2: { ...s3Limits, uniformParts: true },
  Azure: { ...s3Limits, minPartBytes: 1, maxPartBytes: 4000 * mib, maxParts: 50_000, maxObjectBytes: 190 * tib },
  GCS: { ...s3Limits, minPartBytes: 1, maxPartBytes: 5 * tib, maxParts: 10_000 },
  'few small parts': {
    ...s3Limits,
    minPartBytes: 1,
    maxPartBytes: 64 * mib,
    maxParts: 100,
    maxObjectBytes: 6400 * mib,
  },
}

const lengths = [0, 1, 5 * mib - 1, 5 * mib, 8 * mib, 8 * mib + 1, gib, 78 * gib, 79 * gib, 80 * gib]
const longLengths = [tib, 5 * tib]
const preferences = [1, 8 * mib, 600 * mib, 6 * gib]

/** Fills parts as the engine does, and tells how many it took. */
function fill(limits: BucketLimits, preferred: number, length: number, next: () => number | null): PlanState {
  let state: PlanState = { length, stored: 0, used: 0, first: null }
  const put = (size: number) => {
    const { stored, used, first } = state
    if (isUsedUp(limits, state)) assert.fail(`${used} parts hold ${stored} of ${length}`)
    const last = stored + size === length
    if (size > limits.maxPartBytes || (!last && size < limits.minPartBytes)) assert.fail(`a part of ${size}`)
    if (limits.uniformParts && first !== null && (size > first || (!last && size < first))) assert.fail('not equal')
    state = { length, stored: stored + size, used: used + 1, first: first ?? size }
  }
  let tail = 0
  while (state.stored < length) {
    const planned = Math.min(partBytes(limits, preferred, state), length - state.stored)
    let bytes = next() ?? Infinity
    bytes = Math.min(bytes, length - state.stored - tail)
    if (tail + bytes >= planned) {
      const rest = tail + bytes - planned
      put(planned)
      tail = 0
      if (rest > 0 && Number.isFinite(rest)) tail = Math.min(rest, partBytes(limits, preferred, state) - 1)
      tail = Math.min(tail, length - state.stored)
      continue
    }
    tail += bytes
    if (!mayBeShort(limits, preferred, state, tail)) continue
    put(tail)
    tail = 0
  }
  return state
}

for (const [storage, limits] of Object.entries(storages)) {
  test(`plan for ${storage}: every length fits into the parts there are, uninterrupted`, () => {
    for (const preferred of preferences) {
      for (const length of [...lengths, ...longLengths, limits.maxObjectBytes]) {
        if (length > Math.min(limits.maxObjectBytes, limits.maxParts * limits.maxPartBytes)) continue
        const { used, stored } = fill(limits, preferred, length, () => null)
        assert.equal(stored, length)
        // No more than needed: parts of the preferred size while these reach.
        if (
          length <= preferred * limits.maxParts &&
          preferred >= limits.minPartBytes &&
          preferred <= limits.maxPartBytes
        )
          assert.equal(used, Math.ceil(length / preferred))
      }
    }
  })

  test(`plan for ${storage}: requests that end at bad moments never use the numbers up`, () => {
    const size = Math.max(limits.minPartBytes, 2 * mib)
    const bodies: ((n: () => number) => number)[] = [
      () => size,
      () => 5 * mib + 1,
      () => 8 * mib - 1,
      (n) => n() * 16 * mib,
      (n) => (n() < 0.9 ? size : n() * 64 * mib),
    ]
    for (const length of [gib, 50 * gib, 79 * gib, Math.min(5 * tib, limits.maxObjectBytes)]) {
      if (length > limits.maxParts * limits.maxPartBytes) continue
      for (const [seed, of] of bodies.entries()) {
        const next = random(seed + 1)
        // Beyond that each body is a fraction of a part, and nothing new is seen.
        const scale = Math.max(1, length / (200 * gib))
        fill(limits, 8 * mib, length, () => Math.max(1, Math.floor(of(next) * scale)))
      }
    }
  })
}

test('plan without a length: parts of the preferred size first, larger ones later; 5 TiB are within reach', () => {
  const open = (used: number): PlanState => ({ length: null, stored: 0, used, first: null })
  assert.equal(partBytes(s3Limits, 8 * mib, open(0)), 8 * mib)
  assert.equal(partBytes(s3Limits, 8 * mib, open(999)), 8 * mib)
  assert.equal(partBytes(s3Limits, 8 * mib, open(1000)), 16 * mib)
  assert.equal(partBytes(s3Limits, 8 * mib, open(9999)), 4096 * mib)
  let total = 0
  for (let used = 0; used < s3Limits.maxParts; used++) total += partBytes(s3Limits, 8 * mib, open(used))
  assert.ok(total >= 5 * tib)
  assert.equal(isUsedUp(s3Limits, open(9999)), false)
  assert.equal(isUsedUp(s3Limits, open(10_000)), true)
})

test('the last number is not spent on a short part: what is left could not follow', () => {
  for (const length of [null, 80_000 * mib]) {
    const state = { length, stored: 79_992 * mib, used: 9999, first: 8 * mib }
    assert.equal(mayBeShort(s3Limits, 8 * mib, state, 8 * mib - 1), false)
  }
})

test('plan without a length, equal parts: eight times the preferred size, and that to the end', () => {
  const limits = { ...s3Limits, uniformParts: true }
  assert.equal(partBytes(limits, 8 * mib, { length: null, stored: 0, used: 0, first: null }), 64 * mib)
  assert.equal(partBytes(limits, 8 * mib, { length: null, stored: 0, used: 5000, first: 7 * mib }), 7 * mib)
  assert.equal(partBytes(limits, 8 * mib, { length: 5 * tib, stored: 0, used: 1, first: 64 * mib }), 64 * mib)
})

test('plan: the length is told late, after half of the numbers; the other half reaches', () => {
  const stored = 5000 * 8 * mib
  let state: PlanState = { length: 2 * tib, stored, used: 5000, first: 8 * mib }
  while (state.stored < 2 * tib) {
    assert.ok(!isUsedUp(s3Limits, state))
    const size = Math.min(partBytes(s3Limits, 8 * mib, state), 2 * tib - state.stored)
    state = { ...state, stored: state.stored + size, used: state.used + 1 }
  }
})

test('short parts: not below the smallest part, never of equal parts, without a length only from half a part on', () => {
  const state = (length: number | null): PlanState => ({ length, stored: 0, used: 0, first: null })
  const may = (size: number, length: number | null, limits = s3Limits) =>
    mayBeShort(limits, 32 * mib, state(length), size)
  assert.deepEqual([may(5 * mib - 1, gib), may(8 * mib - 1, gib), may(8 * mib, gib)], [false, false, true])
  assert.deepEqual([may(16 * mib - 1, null), may(16 * mib, null)], [false, true])
  assert.equal(may(31 * mib, gib, { ...s3Limits, uniformParts: true }), false)
  // Where the parts are larger than preferred already, none is given away.
  assert.equal(may(500 * mib, 5 * tib), false)
})

for (const [name, limits] of Object.entries(storages)) {
  test(`plan: ${name}: parts as small as may be, all of them; the numbers suffice for every length, and parts are halved`, () => {
    for (const preferred of preferences) {
      for (const length of [...lengths, ...longLengths]) {
        if (length > limits.maxObjectBytes) continue
        let state: PlanState = { length, stored: 0, used: 0, first: null }
        let halves = 0
        while (state.stored < length) {
          assert.ok(!isUsedUp(limits, state), `${state.used} parts of ${preferred} hold ${state.stored} of ${length}`)
          const planned = Math.min(partBytes(limits, preferred, state), length - state.stored)
          const size = leastBytes(limits, preferred, state, planned)
          const isLast = state.stored + size === length
          assert.ok(size <= planned && (isLast || size >= limits.minPartBytes), `a part of ${size}`)
          if (size < planned) halves++
          state = { length, stored: state.stored + size, used: state.used + 1, first: state.first ?? size }
        }
        if (limits.uniformParts) assert.equal(halves, 0)
        else if (preferred === 8 * mib && length === gib && limits.maxParts > 100)
          assert.ok(halves > state.used / 2, `${halves} halves`)
      }
    }
  })
}

test('a part on its way while it is filled: what a fast client sends in two seconds, in steps, and no more than comes', () => {
  const size = (certain: number, mibPerSecond: number, more: Partial<typeof s3Limits> = {}, most = 56 * mib) =>
    streamedBytes({ ...s3Limits, ...more }, 8 * mib, certain, (mibPerSecond * mib) / 1000, most) / mib
  assert.equal(size(1000 * mib, 500), 56)
  assert.equal(size(1000 * mib, 13), 24)
  assert.equal(size(1000 * mib, 7), 8)
  assert.equal(size(20 * mib, 500), 20)
  assert.equal(size(3 * mib, 500), 8)
  assert.equal(size(1000 * mib, 500, { uniformParts: true }), 8)
  assert.equal(size(1000 * mib, 500, { maxPartBytes: 30 * mib }), 24)
  assert.equal(size(1000 * mib, 500, {}, 10 * mib), 8)
})

test('what memory is there for parts that are on their way while they are filled: a second one can begin', () => {
  assert.equal(Math.floor(largestStreamedBytes(80 << 20) / (8 << 20)), 7)
})

test('as many bytes as were planned, or more: always a part, however long the upload is', () => {
  const length = 200 * 2 ** 30
  const state = { length, stored: 0, used: 0, first: null }
  const planned = partBytes(s3Limits, 8 << 20, state)
  assert.ok(planned > 8 << 20)
  assert.equal(mayBeShort(s3Limits, 8 << 20, state, planned), true)
  assert.equal(mayBeShort(s3Limits, 8 << 20, state, planned - 1), false)
  assert.equal(mayBeShort(s3Limits, 8 << 20, { ...state, used: 9_999 }, planned), false)
})
