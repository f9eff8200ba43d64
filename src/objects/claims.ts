import type { BucketLimits } from './bucket.ts'
import { claimSize, isScarce, type PlanState } from './plan.ts'
import type { ObjectUpload } from './record.ts'

/*
 * A part cannot be written on a condition: if two servers used the same number, one would replace the other's part. So
 * numbers are claimed in the record before they are used, which only one can: `nextPart` says from where on they are
 * nobody's. Who has claimed them is not written down. The process that did remembers it, for as long as the record is the
 * one that it wrote itself; all others, and the same one after a restart, begin at `nextPart`.
 */

/** Part numbers from `next` up to but not including `end`, which this process alone may use. */
interface Claim {
  next: number
  end: number
}

/** The claims of one process. */
export interface Claims {
  /** The claim on an upload whose record is still as this process has left it, else null. */
  of(upload: ObjectUpload): Claim | null
  keep(upload: ObjectUpload, claim: Claim): void
  /** This process has replaced one record by another. */
  follow(before: ObjectUpload, after: ObjectUpload): void
  drop(id: string): void
}

/** Uploads whose claims are remembered: what is forgotten is a few numbers lost. */
const most = 10_000

export function createClaims(): Claims {
  const kept = new Map<string, { revision: string; readonly claim: Claim }>()
  return {
    of({ id, revision }) {
      const found = kept.get(id)
      return found?.revision === revision ? found.claim : null
    },
    keep({ id, revision }, claim) {
      kept.delete(id)
      kept.set(id, { revision, claim })
      // The oldest comes first.
      const [oldest] = kept.size > most ? kept.keys() : []
      if (oldest !== undefined) kept.delete(oldest)
    },
    follow(before, after) {
      const found = kept.get(before.id)
      if (found?.revision === before.revision) found.revision = after.revision
    },
    drop: (id) => void kept.delete(id),
  }
}

/** What the first record of an upload says of part numbers: whoever creates it mostly appends to it, too. */
export function firstClaim(limits: BucketLimits, preferred: number, length: number | null): number {
  return limits.partsReplace ? 1 + claimSize(limits, preferred, { length, stored: 0, used: 0, first: null }) : 1
}

/** The part numbers of one append. Several of one process (one may have lost its lock) share what that has claimed. */
export interface PartNumbers {
  /** Numbers that are used up, or may be. */
  readonly used: number
  /** Whether a number is there to take; else a record has to be written first, with what `planned` says. */
  readonly any: boolean
  take(): number
  /** A number that was taken, but that no part can have any more. */
  giveBack(number: number): void
  /** What a record that is written now has to say as its `nextPart`. @param ending It is the last one of this append. */
  planned(state: PlanState, ending: boolean): number
  /** That record is written. */
  recorded(before: ObjectUpload, after: ObjectUpload): void
}

export function partNumbers(
  limits: BucketLimits,
  preferred: number,
  claims: Claims,
  upload: ObjectUpload,
): PartNumbers {
  if (!limits.partsReplace) return freeNumbers(upload.nextPart)
  let claim = claims.of(upload) ?? { next: upload.nextPart, end: upload.nextPart }
  let limit = upload.nextPart
  let hasTaken = false

  return {
    get used() {
      return claim.next - 1
    },
    get any() {
      return claim.next < claim.end
    },
    take() {
      // Another server may be sending a part under that number.
      if (claim.next >= claim.end) throw new TypeError(`part number ${claim.next} is taken without a claim`)
      hasTaken = true
      return claim.next++
    },
    giveBack(number) {
      // Else somebody else in this process has taken the next one.
      if (claim.next === number + 1) claim.next = number
    },
    planned(state, ending) {
      // Where numbers are few none may be lost with this process.
      if (ending && isScarce(limits, preferred, state)) return claim.end === limit ? claim.next : limit
      const size = claimSize(limits, preferred, state)
      const left = claim.end - claim.next
      // With a record that is written anyway, before they run out.
      const more = left === 0 ? !ending || hasTaken : left * 2 < size
      if (!more) return limit
      return Math.min(limit + size - (claim.end === limit ? left : 0), Math.max(limit, limits.maxParts + 1))
    },
    recorded(before, after) {
      if (claim.end === before.nextPart) claim.end = after.nextPart
      else if (after.nextPart > before.nextPart) claim = { next: before.nextPart, end: after.nextPart }
      limit = after.nextPart
      claims.keep(after, claim)
    },
  }
}

/** Where numbers only tell the order of parts. */
function freeNumbers(first: number): PartNumbers {
  let next = first
  return {
    get used() {
      return next - 1
    },
    any: true,
    take: () => next++,
    giveBack: (number) => void (next = number),
    planned: () => next,
    recorded: () => {},
  }
}
