/** What can go wrong between us and an object storage, and when it shall. */
import { random } from '../faults/random.ts'
import type { Dialect } from './storage-dialects.ts'

/**
 * What happens to a request:
 * - `refuse`: its connection is reset; the storage never hears of it;
 * - `reset-request`: both connections are reset after this share (0 to 1) of its body; one without body is refused;
 * - `reset-answer`: the storage does what was asked, and the connection is reset after this share of the answer's body;
 *   at 0 no byte of the answer arrives, which is the answer that was lost;
 * - `status`: an error answer with a body as the storage writes it; `applied` if the storage had done it nevertheless;
 * - `error-in-200`: a 200 with an error inside, on calls that can do so; `applied` likewise;
 * - `stall`: so many milliseconds of silence, before the storage hears of it or before its answer is passed on;
 * - `cut-listing`: a list breaks off in the middle, in an answer that is otherwise sound;
 * - `short-listing`: a list that lacks its second half and says that it is whole, as of a storage that lags behind;
 * - `slow`: both ways at most this many bytes a second.
 */
export type Fault =
  | { readonly is: 'refuse' }
  | { readonly is: 'reset-request'; readonly after: number }
  | { readonly is: 'reset-answer'; readonly after: number }
  | {
      readonly is: 'status'
      readonly status: 429 | 500 | 503
      readonly applied?: boolean
      readonly retryAfter?: number
    }
  | { readonly is: 'error-in-200'; readonly applied?: boolean }
  | { readonly is: 'stall'; readonly ms: number; readonly before: 'request' | 'answer' }
  | { readonly is: 'cut-listing' }
  | { readonly is: 'short-listing' }
  | { readonly is: 'slow'; readonly bytesPerSecond: number }

export type FaultName = Fault['is']

/** A fault, and the requests it happens to. */
export interface Planned {
  readonly fault: Fault
  /** Kind of request, as `classify` names it. @default every kind */
  readonly on?: string
  /** How many such requests pass unharmed first, counted from when it was planned. @default 0 */
  readonly skip?: number
  /** How many requests it happens to. @default 1 */
  readonly times?: number
}

/** Decides the fault of a request, given its kind and whether its body has bytes; null for none. */
export type FaultSource = (kind: string, hasBody: boolean) => Fault | null

export interface RandomFaults {
  readonly seed: number
  /** Share of the requests that something happens to. */
  readonly rate: number
  /** @default all but `short-listing`, after which nobody can know what is missing */
  readonly names?: readonly FaultName[]
  /** A burst of errors is up to so long. @default 3 */
  readonly burst?: number
  /** Milliseconds of the longest stall. @default 200 */
  readonly stallMs?: number
  /** After so many faults it is over. @default no end */
  readonly total?: number
}

const usual: readonly FaultName[] = [
  'refuse',
  'reset-request',
  'reset-answer',
  'status',
  'error-in-200',
  'stall',
  'cut-listing',
  'slow',
]

/**
 * Faults that the seed decides. Each kind of request has its own numbers, so that requests that overtake one another
 * change little.
 */
export function randomFaults(dialect: Dialect, options: RandomFaults): FaultSource {
  const { seed, rate, names = usual, burst = 3, stallMs = 200, total = Infinity } = options
  const states = new Map<
    string,
    { readonly numbers: ReturnType<typeof random>; left: number; status: 429 | 500 | 503 }
  >()
  let happened = 0

  const choose = (kind: string, hasBody: boolean): Fault | null => {
    let state = states.get(kind)
    if (state === undefined)
      states.set(kind, (state = { numbers: random(hash(`${seed} ${kind}`)), left: 0, status: 503 }))
    const { numbers } = state
    if (state.left > 0) {
      state.left--
      return { is: 'status', status: state.status }
    }
    if (!numbers.chance(rate)) return null
    const share = numbers.between(0, 100) / 100
    const possible = names.filter((name) => canHappen(name, dialect, kind, hasBody))
    if (possible.length === 0) return null
    const is = numbers.pick(possible)
    switch (is) {
      case 'reset-request':
      case 'reset-answer':
        return { is, after: numbers.chance(0.5) ? 0 : share }
      case 'status':
        state.status = numbers.pick([429, 500, 503])
        state.left = numbers.between(0, burst - 1)
        return { is, status: state.status, applied: state.status === 500 && numbers.chance(0.5) }
      case 'error-in-200':
        return { is, applied: numbers.chance(0.5) }
      case 'stall':
        return { is, ms: Math.round(share * stallMs), before: numbers.pick(['request', 'answer']) }
      case 'slow':
        return { is, bytesPerSecond: numbers.between(4, 64) * 1024 * 1024 }
      case 'refuse':
      case 'cut-listing':
      case 'short-listing':
        return { is }
    }
  }
  return (kind, hasBody) => {
    if (happened >= total) return null
    const fault = choose(kind, hasBody)
    if (fault !== null) happened++
    return fault
  }
}

/** Faults that a test names, each once its time has come. */
export function plannedFaults(): {
  readonly next: FaultSource
  plan(...more: readonly Planned[]): void
  clear(): void
} {
  let waiting: { readonly planned: Planned; skip: number; times: number }[] = []
  return {
    next(kind) {
      const due = waiting.filter(({ planned }) => planned.on === undefined || planned.on === kind)
      const found = due.find(({ skip }) => skip === 0)
      for (const entry of due) if (entry.skip > 0) entry.skip--
      if (found === undefined) return null
      found.times--
      if (found.times <= 0) waiting = waiting.filter((entry) => entry !== found)
      return found.planned.fault
    },
    plan(...more) {
      waiting.push(...more.map((planned) => ({ planned, skip: planned.skip ?? 0, times: planned.times ?? 1 })))
    },
    clear() {
      waiting = []
    },
  }
}

function canHappen(name: FaultName, dialect: Dialect, kind: string, hasBody: boolean): boolean {
  if (name === 'reset-request') return hasBody
  if (name === 'error-in-200') return dialect.early.has(kind)
  if (name === 'cut-listing' || name === 'short-listing') return dialect.listings.has(kind)
  return true
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const char of text) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193)
  return value >>> 0
}
