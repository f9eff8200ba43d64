import { isPerRequest } from '../platform.ts'

/** The memory in which parts are gathered: one pool for all uploads of a store. */
export interface Buffers {
  /**
   * A buffer of exactly so many bytes; they may hold anything. Waits until there is room for it.
   * @param holder Whoever takes it: one per upload.
   * @param least It may have fewer, down to these, where slow clients have much, or others have been waited for long.
   * @param later Bytes that the holder is going to ask for, if it stays alone: so that the same memory does for those.
   * @throws GaveUp when the holder wants it no more.
   */
  take(bytes: number, holder: Holder, least?: number, later?: number): Promise<Uint8Array<ArrayBuffer>>
  /** Gives it back: nobody may use it any more. */
  give(buffer: Uint8Array<ArrayBuffer>, holder: Holder): void
  /** As `give`, for a buffer that lives on in other hands. */
  forget(buffer: Uint8Array<ArrayBuffer>, holder: Holder): void
  /** Whether so many bytes are had without waiting. */
  has(bytes: number): boolean
  /** Whether nobody else has any memory, or waits for some. */
  isAlone(holder: Holder): boolean
  /** Bytes that somebody may have who is alone. */
  readonly alone: number
  /** Whether the holder may have so many bytes more since it is alone: without waiting, too. */
  hasAlone(bytes: number, holder: Holder): boolean
  /** Bytes taken now. */
  readonly used: number
}

export interface Holder {
  /** Buffers it has. */
  held: number
  /** When it got the one it fills, in milliseconds; 0 = it fills none. */
  since: number
  /** Others wait: store what is in the buffer that is being filled, and give it back. Asked again while it is not. */
  release: () => void
  /** Asked while it waits: whether it shall end instead. */
  readonly isStopped?: (() => boolean) | undefined
}

/** Somebody who has waited for a buffer shall end instead. */
class GaveUp extends Error {
  override readonly name = 'GaveUp'
}

/** What a failed `take` comes to for who may do without. @throws whatever else it was. */
export function nullIfGivenUp(error: unknown): null {
  if (error instanceof GaveUp) return null
  throw error
}

interface Waiter {
  readonly bytes: number
  readonly least: number
  readonly holder: Holder
  readonly since: number
  readonly resolve: (buffer: Uint8Array<ArrayBuffer>) => void
  readonly reject: (reason: GaveUp) => void
}

/** What is asked for. */
type Request = Omit<Waiter, 'resolve' | 'reject'>

/** Milliseconds that an upload without any buffer waits before it gets one above the soft limit. */
const patienceMs = 1_500
/** How far above it that one may lie. Beyond that more memory helps nobody: the storage is what is slow. */
const patientFactor = 2
/** Milliseconds that an upload without any buffer waits before it gets one there, all the same. */
const longPatienceMs = 10_000
/** Milliseconds of filling a buffer after which the client is what is slow, and does not keep others from theirs. */
const slowMs = 1_000
/** Milliseconds after which who fills a buffer slowly is asked to let others have it. */
const fairMs = 2_000
/** Milliseconds that a body which nothing of may be recorded before its end may keep memory that others wait for. */
export const mostKeptMs = 30_000
/** Buffers kept for good for the next who takes one of the same size; more than that stay for a while. */
const spares = 4
/** Milliseconds after which buffers that nobody has taken again go. */
const spareMs = 10_000
/** How far above the soft limit somebody may go who is alone: for parts that are fewer and larger (`largerBytes`). */
const aloneFactor = 2
/** Between two looks at who waits. */
const lookMs = 250

/**
 * Below the soft limit everybody gets what they ask for. Above it (many uploads at once) nobody gets a second buffer,
 * and the first one only after a short wait: mostly another one is given back in that time, and memory stays small.
 * Above twice the limit that wait is long. Who comes while slow clients have much need not wait, but gets less.
 * Above the budget uploads wait; whoever fills a buffer for long is asked to give it back.
 * Who is alone may go beyond the soft limit for larger buffers; it is back below it soon after somebody else comes.
 * @param budget Most bytes in use; a single buffer larger than that is given when no other is in use.
 * @param soft Bytes in use up to which there is no waiting, those that slow clients fill not counted.
 */
export function createBuffers(budget: number, soft: number): Buffers {
  const alone = Math.min(soft * aloneFactor, budget / 2)
  const waiters: Waiter[] = []
  /** And of the buffer that each got last: its bytes, and when it was asked to give it back. */
  const holders = new Map<Holder, { readonly bytes: number; askedAt: number }>()
  const free: Uint8Array<ArrayBuffer>[] = []
  /** What those are a part of that are larger than was asked for. */
  const wholes = new Map<Uint8Array, Uint8Array<ArrayBuffer>>()
  let used = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let trimTimer: ReturnType<typeof setTimeout> | undefined
  let leastFree = 0

  /** Bytes of the buffer that there is room for now; null = of none. */
  const room = ({ bytes, least, holder, since }: Request, now: number): number | null => {
    if (used === 0 || used + bytes <= Math.min(soft, budget)) return bytes
    if (used + least > budget || holder.held > 0) return null
    if (used - slowBytes(now) + least <= soft) return least
    if (now - since >= patienceMs && used + bytes <= Math.min(soft * patientFactor, budget)) return bytes
    return now - since >= longPatienceMs ? least : null
  }

  const isAlone = (holder: Holder): boolean => waiters.length === 0 && holders.size <= (holders.has(holder) ? 1 : 0)
  const hasAlone = (bytes: number, holder: Holder): boolean => isAlone(holder) && used + bytes <= alone

  const slowBytes = (now: number): number => {
    let sum = 0
    for (const [{ since }, { bytes }] of holders) if (since > 0 && now - since > slowMs) sum += bytes
    return sum
  }

  const spareBytes = (): number => free.reduce((sum, { byteLength }) => sum + byteLength, 0)

  /** @param room Bytes that there is room for. */
  const grant = (room: number, { bytes, least, holder }: Request, later = 0) => {
    const whole = takeSpare(room, bytes, least) ?? (later > 0 ? takeLarger(room, later) : allocate(room))
    const buffer = whole.byteLength > bytes ? whole.subarray(0, bytes) : whole
    if (buffer !== whole) wholes.set(buffer, whole)
    used += whole.byteLength
    holder.held++
    holder.since = Date.now()
    holders.set(holder, { bytes: whole.byteLength, askedAt: 0 })
    while (free.length > 0 && used + spareBytes() > alone) free.shift()
    trim()
    leastFree = Math.min(leastFree, free.length)
    return buffer
  }

  /** One of another size, too, rather than a new one above the soft limit: what is let go of stays for a while. */
  const takeSpare = (room: number, bytes: number, least: number): Uint8Array<ArrayBuffer> | undefined => {
    let found = free.findIndex(({ byteLength }) => byteLength === room)
    if (found < 0 && used + spareBytes() + room > soft) {
      found = free.findIndex(({ byteLength }) => byteLength >= least && byteLength <= bytes)
    }
    return found < 0 ? undefined : free.splice(found, 1)[0]
  }

  /** For who is alone: new memory costs more than what is in it. */
  const takeLarger = (room: number, later: number): Uint8Array<ArrayBuffer> => {
    const found = free.findIndex(
      ({ byteLength }) => byteLength > room && byteLength <= room * 4 && used + byteLength <= alone,
    )
    return free.splice(found, found < 0 ? 0 : 1)[0] ?? allocate(used + later <= alone ? Math.max(room, later) : room)
  }

  /**
   * Spares are memory too: the oldest go first, which are of a size that nobody asks for any more. Buffers are used
   * again rather than left to the garbage collector, which is late: twice the budget would be in memory.
   */
  const trim = (): void => {
    while (free.length > 0 && used + spareBytes() > budget) free.shift()
    if ((free.length > spares || spareBytes() > soft) && trimTimer === undefined) {
      leastFree = free.length
      trimTimer = setTimeout(trimUnused, spareMs)
      // No reason for a process to stay, where there are such reasons.
      if (typeof trimTimer === 'object' && 'unref' in trimTimer) trimTimer.unref()
    }
  }

  /** Lets go of those that were not needed since the last look. */
  const trimUnused = (): void => {
    trimTimer = undefined
    free.splice(0, Math.max(0, Math.min(leastFree, free.length) - spares))
    while (spareBytes() > soft) free.shift()
    trim()
  }

  const isOverdue = ({ holder, since }: Waiter, now: number): boolean => holder.held === 0 && now - since >= fairMs

  /** Whose turn it is: those without any buffer first; in order of arrival otherwise. */
  const turn = (now: number): { readonly n: number; readonly bytes: number } | null => {
    for (const wanted of [(w: Waiter) => w.holder.held === 0, () => true]) {
      for (const [n, waiter] of waiters.entries()) {
        if (!wanted(waiter)) continue
        const bytes = room(waiter, now)
        if (bytes !== null) return { n, bytes }
        // Those who need much would never find it free while others take little by little.
        if (isOverdue(waiter, now)) return null
      }
    }
    return null
  }

  /** Who shall end would keep a newcomer waiting, and the memory that it waits for. */
  const dismiss = (): void => {
    for (let n = waiters.length - 1; n >= 0; n--) {
      if (waiters[n]?.holder.isStopped?.() !== true) continue
      for (const waiter of waiters.splice(n, 1)) waiter.reject(new GaveUp())
    }
  }

  const serve = (): void => {
    const now = Date.now()
    dismiss()
    for (let next = turn(now); next !== null; next = turn(now)) {
      for (const waiter of waiters.splice(next.n, 1)) waiter.resolve(grant(next.bytes, waiter))
    }
    if (waiters.some((waiter) => isOverdue(waiter, now))) askSlowest(now)
    clearTimeout(timer)
    timer = waiters.length === 0 || isPerRequest ? undefined : setTimeout(serve, lookMs)
  }

  const askSlowest = (now: number): void => {
    const filling = [...holders].filter(([{ since }]) => since > 0)
    const ages = filling.map(([holder, last]) => ({ holder, last, at: Math.max(holder.since, last.askedAt) }))
    const [slowest] = ages.sort((a, b) => a.at - b.at)
    if (slowest === undefined || now - slowest.at < fairMs) return
    slowest.last.askedAt = now
    slowest.holder.release()
  }

  const forget = (buffer: Uint8Array<ArrayBuffer>, holder: Holder): void => {
    used -= wholes.get(buffer)?.byteLength ?? buffer.byteLength
    wholes.delete(buffer)
    holder.held--
    if (holder.held === 0) holders.delete(holder)
    if (waiters.length > 0) serve()
  }

  return {
    get used() {
      return used
    },
    alone,
    isAlone,
    hasAlone,
    has: (bytes) => waiters.length === 0 && (used === 0 || used + bytes <= Math.min(soft, budget)),

    take(bytes, holder, least = bytes, later = bytes) {
      const waiter = { bytes, least, holder, since: Date.now() }
      if (hasAlone(bytes, holder)) return Promise.resolve(grant(bytes, { ...waiter, least: bytes }, later))
      const now = waiters.length === 0 ? room(waiter, waiter.since) : null
      if (now !== null) return Promise.resolve(grant(now, waiter))
      let look: ReturnType<typeof setInterval> | undefined
      return new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
        waiters.push({ ...waiter, resolve, reject })
        // The timer of another request ends with that.
        if (isPerRequest) look = setInterval(serve, lookMs)
        else timer ??= setTimeout(serve, lookMs)
      }).finally(() => clearInterval(look))
    },
    give(buffer, holder) {
      free.push(wholes.get(buffer) ?? buffer)
      forget(buffer, holder)
      trim()
    },
    forget,
  }
}

/** Larger buffers than this are the few of an upload that is alone. */
const largeBytes = 16 << 20

/**
 * Of memory beyond 32 MiB glibc always gives a mapping of its own, which goes back to the system as soon as it is free,
 * and of which only what is used is there. Of less it keeps some, once it has seen it freed: for good, mostly.
 */
const mappedBytes = 33 << 20

function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  return bytes <= largeBytes
    ? new Uint8Array(bytes)
    : new Uint8Array(new ArrayBuffer(Math.max(bytes, mappedBytes)), 0, bytes)
}

/** Works with a buffer and gives it back. After a failure some connection may still read from it: nobody gets it then. */
export async function lend<T>(
  buffers: Buffers,
  buffer: Uint8Array<ArrayBuffer>,
  holder: Holder,
  work: () => Promise<T>,
): Promise<T> {
  let isFree = false
  try {
    const result = await work()
    isFree = true
    return result
  } finally {
    if (isFree) buffers.give(buffer, holder)
    else buffers.forget(buffer, holder)
  }
}
