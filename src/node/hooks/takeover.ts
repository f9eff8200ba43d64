import type { Logger } from 'pino'
import { reasonOf } from './failure.ts'
import type { Courier } from './courier.ts'
import { laneIn, nameOf, type Outbox, type StoredEvent } from './outbox.ts'

/** How often it is looked for events that other processes have left, in milliseconds; and when a time is over. */
const intervalMs = 30_000
const leastMs = 1_000

/** Takes over what processes that are gone have left to deliver, now and from time to time. Returns how to stop. */
export function startTakeovers(outbox: Outbox, courier: Courier, log: Logger): () => Promise<void> {
  /** Events of others, and until when there is no need to look at them. */
  const leases = new Map<string, number>()
  /** Whose events are, where their owner lived when it was asked: they need not be read again while it does. */
  const owners = new Map<string, string>()
  const unreadable = new Set<string>()
  let running: Promise<void> = Promise.resolve()
  let stopped = false

  async function scan(): Promise<void> {
    const gone = new Map<string, boolean | null>()
    const names = await outbox.list('waiting')
    const present = new Set(names)
    for (const known of [leases, owners]) for (const name of known.keys()) if (!present.has(name)) known.delete(name)
    let count = 0
    for (const name of names.sort()) {
      if (stopped) return
      if (laneIn(name) === null || courier.has(name) || (leases.get(name) ?? 0) > Date.now()) continue
      const owner = owners.get(name)
      if (owner !== undefined && (await isGone(owner, gone)) === false) continue
      const found = await readable(name)
      if (found === null) continue
      if (!(await isFree(found.event, gone))) continue
      leases.delete(name)
      await courier.adopt(found.event, found.version)
      count++
    }
    log.debug({ events: names.length }, 'outbox of hooks looked at')
    if (count > 0) log.info({ events: count }, 'hooks taken over from a process that has ended')
  }

  async function isFree(
    { owner, leaseUntil, ...event }: StoredEvent,
    gone: Map<string, boolean | null>,
  ): Promise<boolean> {
    if (owner === '') return true
    const known = await isGone(owner, gone)
    if (known === false) owners.set(nameOf(event), owner)
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
      unreadable.add(name)
      log.error({ event: name, reason: reasonOf(error) }, 'an event in the outbox of hooks cannot be read')
      return null
    }
  }

  let timer: NodeJS.Timeout | undefined
  const look = (): void => {
    running = scan()
      .catch((error: unknown) => log.error({ err: error }, 'the outbox of hooks cannot be looked at'))
      .finally(() => {
        if (stopped) return
        const next = Math.min(...leases.values()) - Date.now()
        timer = setTimeout(look, Math.max(leastMs, Math.min(next, intervalMs))).unref()
      })
  }
  look()
  return async () => {
    stopped = true
    clearTimeout(timer)
    await running
  }
}
