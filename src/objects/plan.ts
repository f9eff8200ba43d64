import type { BucketLimits } from './bucket.ts'

const roundTo = 64 * 1024

export interface PlanState {
  /** Total bytes, or null while that is not known. */
  readonly length: number | null
  /** Bytes in parts so far. */
  readonly stored: number
  /** Part numbers that are used up. */
  readonly used: number
  /** Size of the first part, where there is one. */
  readonly first: number | null
}

/**
 * Bytes of the next part: the preferred size, or more where the numbers that are left would not reach. Of an upload
 * without a length nobody knows how far it goes: its parts double with each tenth of the numbers, which reaches 1,000
 * times as far as the preferred size would. Equal parts cannot grow: without a length they start eight times as large.
 */
export function partBytes(limits: BucketLimits, preferred: number, state: PlanState): number {
  const { length, stored, used, first } = state
  const wanted = clamp(preferred, limits)
  if (limits.uniformParts) {
    if (first !== null) return first
    return length === null ? clamp(wanted * 8, limits) : clamp(Math.max(wanted, up(length / limits.maxParts)), limits)
  }
  if (length !== null)
    return clamp(Math.max(wanted, up((length - stored) / Math.max(limits.maxParts - used, 1))), limits)
  return clamp(wanted * 2 ** Math.floor((used * 10) / limits.maxParts), limits)
}

/** What comes in so many milliseconds may be one part: a crash costs no more. */
const momentMs = 1000

/**
 * Bytes of the next part of a long request from a fast client, where there is memory for it: fewer requests. Not at
 * first, so that the last part of a short upload is not waited for long.
 * @param most As many as there is memory for, of an upload that is alone.
 */
export function largerBytes(
  limits: BucketLimits,
  planned: number,
  stored: number,
  bytesPerMs: number,
  most: number,
): number {
  if (limits.uniformParts || most <= planned || stored < most) return planned
  const wanted = bytesPerMs * momentMs
  // Few sizes, so that the memory of one part does for the next.
  return clamp(wanted >= most ? most : Math.max(1, Math.floor(wanted / planned)) * planned, limits)
}

/** Larger parts in memory at the same time, at most: one is filled while two are on their way. */
const largeAtOnce = 3

/** Bytes of the largest part of an upload that is alone with so much memory. */
export function largestBytes(memory: number, concurrency: number): number {
  return Math.floor(memory / Math.min(concurrency, largeAtOnce) / roundTo) * roundTo
}

/** As `momentMs`, of a part that is on its way while it is filled: the record of a running append is not newer anyway. */
const streamedMs = 2000

/** Of its memory, a part that is on its way while it is filled has at most this; the next one begins in the rest. */
const streamedShare = 0.71

/** Bytes of the largest part that is on its way while it is filled, of an upload that is alone with so much memory. */
export function largestStreamedBytes(memory: number): number {
  return Math.floor(memory * streamedShare)
}

/**
 * Bytes of a part that is on its way while it is filled, of which the first ones have come: as many as memory allows and
 * a fast client sends in a moment. It may begin at once, for nobody waits longer for the end of a short upload.
 * @param certain Bytes that come for it if the client goes on.
 * @param most As many as there is memory for, of an upload that is alone.
 * @returns `planned` where it shall not grow.
 */
export function streamedBytes(
  limits: BucketLimits,
  planned: number,
  certain: number,
  bytesPerMs: number,
  most: number,
): number {
  const wanted = Math.min(bytesPerMs * streamedMs, most, limits.maxPartBytes)
  const pieces = Math.floor(wanted / planned)
  return limits.uniformParts || pieces < 2 ? planned : Math.max(planned, Math.min(pieces * planned, certain))
}

/**
 * Whether `size` bytes at the end of a request may be a part although they are fewer than planned. Each such part uses
 * up a number; it may as long as the parts to come need not grow for it.
 */
export function mayBeShort(limits: BucketLimits, preferred: number, state: PlanState, size: number): boolean {
  if (limits.uniformParts || size < limits.minPartBytes) return false
  const after = { ...state, stored: state.stored + size, used: state.used + 1 }
  // The last number is for all that is left.
  if (isUsedUp(limits, after)) return false
  const planned = partBytes(limits, preferred, state)
  if (size >= planned) return true
  // Without a length: so that at most every second number is used up by halves.
  if (state.length === null) return size * 2 >= planned
  return size * 4 >= planned && partBytes(limits, preferred, after) <= clamp(preferred, limits)
}

/** Bytes that a part may do with where memory is short, as often as it is: half, where the numbers reach for that. */
export function leastBytes(limits: BucketLimits, preferred: number, state: PlanState, planned: number): number {
  const half = Math.max(Math.ceil(planned / 2), limits.minPartBytes)
  return half < planned && mayBeShort(limits, preferred, state, half) ? half : planned
}

/** Part numbers claimed at a time, at most: as many may be lost whenever an upload goes on at another server. */
const mostClaimed = 64

/** How many part numbers are claimed at a time: while they are plenty as many as the upload may need, else few. */
export function claimSize(limits: BucketLimits, preferred: number, state: PlanState): number {
  const needed = numbersNeeded(limits, preferred, state)
  const spare = limits.maxParts - state.used - needed
  // A few more, for parts that requests end with.
  const wanted = needed === 0 ? mostClaimed : Math.min(needed + 4, mostClaimed)
  return Math.max(1, Math.min(wanted, Math.floor(spare / (needed === 0 ? 64 : 8))))
}

/** Whether claims should not outlive the append that made them, since all numbers may be needed. */
export function isScarce(limits: BucketLimits, preferred: number, state: PlanState): boolean {
  return limits.maxParts - state.used - numbersNeeded(limits, preferred, state) < mostClaimed
}

/** 0 without a length. */
function numbersNeeded(limits: BucketLimits, preferred: number, state: PlanState): number {
  return state.length === null ? 0 : Math.ceil((state.length - state.stored) / partBytes(limits, preferred, state))
}

/** Whether this many parts are all there can be. */
export function isUsedUp(limits: BucketLimits, { used }: PlanState): boolean {
  return used >= limits.maxParts
}

function up(bytes: number): number {
  return Math.ceil(bytes / roundTo) * roundTo
}

function clamp(bytes: number, { minPartBytes, maxPartBytes }: BucketLimits): number {
  return Math.min(Math.max(bytes, minPartBytes), maxPartBytes)
}
