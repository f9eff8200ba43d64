/** Randomness that a failing run can be repeated with. */
import type { TestContext } from 'node:test'

export interface Random {
  readonly seed: number
  /** A number from `min` to `max`, both included. */
  between(min: number, max: number): number
  /** True with this probability. */
  chance(probability: number): boolean
  pick<T>(list: readonly T[]): T
  bytes(count: number): Buffer<ArrayBuffer>
}

/** Numbers that the seed decides (mulberry32). */
export function random(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1))
  return {
    seed,
    between,
    chance: (probability) => next() < probability,
    pick: (list) => list[between(0, list.length - 1)]!,
    bytes(count) {
      const words = new Uint32Array(Math.ceil(count / 4))
      // Not `next` per word: megabytes of it are asked for.
      let word = between(1, 2 ** 31)
      for (let i = 0; i < words.length; i++) {
        word ^= word << 13
        word ^= word >>> 17
        word ^= word << 5
        words[i] = word
      }
      return Buffer.from(words.buffer, 0, count)
    },
  }
}

/** A fresh seed each run, told in the test's output; `FAULT_SEED=n` repeats the run that printed it. */
export function seeded(t: TestContext): Random {
  const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000)
  t.diagnostic(`FAULT_SEED=${seed}`)
  return random(seed)
}
