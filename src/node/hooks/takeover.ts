import type { Logger } from 'pino'
import { StoreError } from '../../errors.ts'
import { reasonOf } from './failure.ts'
import type { Courier } from './courier.ts'
import { laneIn, nameOf, type Outbox, type StoredEvent } from './outbox.ts'

/** How often it is looked for events that other processes have left, in milliseconds; and when a time is over. */
const intervalMs = 30_000
const leastMs = 1_000
/** For how long an event counts as its owner's, who may give it back, and then another one have it. */
const ownerMs = 5 * 60_000

export interface Takeovers {
  /** Looks now, or once more after the look that is under way. */
  look(): void
  stop(): Promise<void>
}

/** Takes over what processes that are gone have left to deliver, or that had no room for it, now and from time to time. */
export function startTakeovers(outbox: Outbox, courier: Courier, log: Logger): Takeovers {
  /** Events of others, and until when there is no need to look at them. */
  const leases = new Map<string, number>()
  /** Whose events are, where their owner lived when it was asked: for so long they need not be read again while it does. */
  const owners = new Map<string, { readonly owner: string; readonly until: number }>()
  /** Events that nobody has and that failed not long ago, and when it is time for them. Until then they take no room. */
  const later = new Map<string, number>()
  /** Where the last look ended for want of room: the next one goes on there, so that each comes round. */
  let last = ''
  const unreadable = new Set<string>()
  let running: Promise<void> = Promise.resolve()
  let isLooking = false
  let isWanted = false
  let stopped = false

  async function scan(): Promise<void> {
    if (!courier.hasRoom()) return
    const gone = new Map<string, boolean | null>()
    const names = await outbox.list('waiting')
    const present = new Set(names)
    for (const known of [leases, later, owners])
      for (const name of known.keys()) if (!present.has(name)) known.delete(name)
    let count = 0
    names.sort()
    const start = names.findIndex((name) => name > last)
    if (start > 0) names.push(...names.splice(0, start))
    for (const name of names) {
      if (stopped || !courier.hasRoom()) break
      last = name
      if (laneIn(name) === null || courier.has(name)) continue
      if ((leases.get(name) ?? later.get(name) ?? 0) > Date.now()) continue
      const known = owners.get(name)
      if (known !== undefined && known.until > Date.now() && (await isGone(known.owner, gone)) === false) continue
      const found = await readable(name)
      if (found === null) continue
      if (!(await isFree(found.event, gone))) continue
      leases.delete(name)
      later.delete(name)
      await courier.adopt(found.event, found.version)
      count++
    }
    log.debug({ events: names.length }, 'outbox of hooks looked at')
    if (count > 0) log.info({ events: count }, 'hooks taken over that wait in the outbox')
  }

  async function isFree(
    { owner, leaseUntil, nextAt, ...event }: StoredEvent,
    gone: Map<string, boolean | null>,
  ): Promise<boolean> {
    if (owner === '') {
      if (nextAt <= Date.now()) return true
      // What is about to happen is looked at in time. What failed can wait for the next look at all.
      leases.delete(nameOf(event))
      const times = event.pending === null ? later : leases
      times.set(nameOf(event), nextAt)
      return false
    }
    // What is this process's own and not with its courier was lost by a write that failed, but for its result; or it is
    // being accepted at this moment. Time tells.
    const known = owner === outbox.self ? null : await isGone(owner, gone)
    if (known === false) owners.set(nameOf(event), { owner, until: Date.now() + ownerMs })
    if (known !== null) return known
    if (leaseUntil < Date.now()) return true
    leases.set(nameOf(event), leaseUntil)
    return false
  }

  /** Asked once in a scan. */
  async function isGone(owner: string, gone: Map<string, boolean | null>): Promise<boolean | null> {
    if (!gone.has(owner)) gone.set(owner, await outbox.isGone(owner))
    return gone.get(owner) ?? null
  }

  async function readable(name: string): ReturnType<Outbox['read']> {
    if (unreadable.has(name)) return null
    try {
      return await outbox.read('waiting', name)
    } catch (error) {
      // The storage fails, and not the event: the next look goes on behind it, and comes back.
      if (error instanceof StoreError) throw error
      unreadable.add(name)
      log.error({ event: name, reason: reasonOf(error) }, 'an event in the outbox of hooks cannot be read')
      return null
    }
  }

  let timer: NodeJS.Timeout | undefined
  const look = (): void => {
    clearTimeout(timer)
    isWanted = isLooking
    if (stopped || isLooking) return
    isLooking = true
    running = scan()
      .catch((error: unknown) => log.error({ err: error }, 'the outbox of hooks cannot be looked at'))
      .finally(() => {
        isLooking = false
        if (stopped) return
        let next = isWanted ? 0 : intervalMs
        for (const until of leases.values()) next = Math.min(next, until - Date.now())
        timer = setTimeout(look, Math.max(leastMs, next)).unref()
      })
  }
  look()
  return {
    look,
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
