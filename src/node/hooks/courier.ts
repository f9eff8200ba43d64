import type { Logger } from 'pino'
import type { Store } from '../../store.ts'
import { backoffMs } from './backoff.ts'
import { startDeadline } from './deadline.ts'
import { HookError, reasonOf } from './failure.ts'
import { laneOf, nameOf, namesBefore, newEvent, type Outbox, type StoredEvent } from './outbox.ts'
import { happened } from './pending.ts'
import type { Message, Transport } from './transport.ts'

/** Events that are sent at the same time, each of another upload. */
const concurrency = 16

/** How long others leave an event alone beyond the time that sending it may take. */
const marginMs = 15_000

/** When it is looked, for the first time, whether what was announced has happened, unless that is told before. */
const pendingMs = 10_000

/** Between two looks whether another process has sent what comes first, in milliseconds. */
const turnMs = 200

/** Uploads whose events are kept in memory as well until they are sent. */
const mostInMemory = 1_000

/** Uploads whose events wait here. Those of others wait in the outbox, for whichever process has room for them. */
const defaultMostWaiting = 10_000

/** Delivers events, one after the other for each upload, until they are taken or given up. */
export interface Courier {
  /**
   * Takes an event; resolves once it is stored.
   * @param pending It is about to happen: it waits until `confirm`, or until a look at the store tells.
   * @throws StoreError when a post-finish cannot be stored; others are sent all the same, then.
   */
  accept(message: Message, upload: Subject, pending?: StoredEvent['pending']): Promise<void>
  /** What was announced has happened. False when no such event waits here. */
  confirm(key: Pick<StoredEvent, 'uploadId' | 'createdAt' | 'type'>): boolean
  /** Takes over an event that another process has left. */
  adopt(event: StoredEvent, version: string): Promise<void>
  /** Whether it takes over more. If not, `onRoom` is called as soon as it does. */
  hasRoom(): boolean
  /** Whether the event of this name waits here. */
  has(name: string): boolean
  /** Whether anything about this upload that came before such an event is still to be delivered, by whomever. */
  isBusy(event: Pick<StoredEvent, 'uploadId' | 'createdAt' | 'type'>): Promise<boolean>
  /** Sends nothing more, and gives what is on its way so many milliseconds. */
  close(graceMs: number): Promise<void>
}

type Subject = Parameters<typeof newEvent>[1]

export interface CourierOptions {
  readonly outbox: Outbox
  readonly transport: Transport
  readonly store: Store
  readonly log: Logger
  /** Milliseconds that one try may take. */
  readonly timeoutMs: number
  /** An event is given up after more tries than these, and so many milliseconds. */
  readonly retries: number
  readonly giveUpAfterMs: number
  /** Uploads whose events wait here at most; 10,000 unless given. */
  readonly mostWaiting?: number
  /** Told when there is room for events that others have left, or that there was no room for. */
  readonly onRoom?: () => void
  /** Told of each event that is given up. */
  readonly onDead?: (type: StoredEvent['type']) => void
}

interface Entry {
  readonly name: string
  nextAt: number
  /** Null once it has to be read (again): it is not kept in memory for long, and others may have taken it. */
  event: StoredEvent | null
  /** Null where it could not be stored. */
  version: string | null
  pending: boolean
  /** Whether nothing that comes before it is left to be sent, by whichever process. */
  isNext: boolean
  /** Taken; only its removal from the outbox is left to do. */
  taken: boolean
}

interface Lane {
  readonly entries: Entry[]
  running: boolean
  timer: NodeJS.Timeout | undefined
}

function drop(entry: Entry, { entries }: Lane): void {
  const index = entries.indexOf(entry)
  if (index >= 0) entries.splice(index, 1)
}

/** Whether the outbox has all of it. */
function isStored({ entries }: Lane): boolean {
  return entries.every(({ version }) => version !== null)
}

/** Names sort in the order of what happened. */
function sort({ entries }: Lane): void {
  entries.sort((one, two) => (one.name < two.name ? -1 : 1))
}

export function createCourier(options: CourierOptions): Courier {
  const { outbox, transport, store, log, timeoutMs, retries, giveUpAfterMs } = options
  const { mostWaiting = defaultMostWaiting } = options
  const lanes = new Map<string, Lane>()
  const ready = new Set<string>()
  const active = new Set<Promise<void>>()
  const ending = new AbortController()
  /** Whether events may wait in the outbox for room here. */
  let isAwaited = false
  let closed = false

  function hasRoom(): boolean {
    isAwaited ||= lanes.size >= mostWaiting
    return lanes.size < mostWaiting
  }

  function enter(entry: Entry, key: string): void {
    const lane = lanes.get(key) ?? { entries: [], running: false, timer: undefined }
    lanes.set(key, lane)
    const { entries } = lane
    const same = entries.findIndex(({ name }) => name === entry.name)
    // One that is on its way just now may have been sent: then this is another one, after it.
    if (same > 0 || (same === 0 && !lane.running)) entries.splice(same, 1)
    const after = entries.findIndex(({ name }, index) => name > entry.name && !(index === 0 && lane.running))
    entries.splice(after < 0 ? entries.length : after, 0, entry)
    wake(key)
  }

  /** Lets an upload's first event be sent when it is time. */
  function wake(key: string): void {
    const lane = lanes.get(key)
    if (closed || lane === undefined || lane.running) return
    clearTimeout(lane.timer)
    const [first] = lane.entries
    if (first === undefined) {
      lanes.delete(key)
      // A look at the outbox is worth its while for many.
      if (!isAwaited || lanes.size > mostWaiting / 2) return
      isAwaited = false
      options.onRoom?.()
      return
    }
    const wait = first.nextAt - Date.now()
    if (wait > 0) {
      lane.timer = setTimeout(() => wake(key), wait).unref()
      return
    }
    ready.add(key)
    pump()
  }

  function pump(): void {
    for (const key of ready) {
      if (closed || active.size >= concurrency) return
      ready.delete(key)
      const lane = lanes.get(key)
      const [entry] = lane?.entries ?? []
      if (lane === undefined || entry === undefined || lane.running) continue
      lane.running = true
      const work = deliver(entry, lane).finally(() => {
        active.delete(work)
        lane.running = false
        wake(key)
        pump()
      })
      active.add(work)
    }
  }

  /** One try. Never rejects. */
  async function deliver(entry: Entry, lane: Lane): Promise<void> {
    try {
      if (!entry.taken) {
        const event = await own(entry)
        if (event === null) return drop(entry, lane)
        if (!(await comesNext(entry, event, lane))) return
        const verdict = entry.pending ? await happened(event, store) : 'yes'
        if (verdict === 'not yet') return postpone(entry, event)
        if (verdict === 'yes' && !(await send(event, entry, lane))) return
        entry.taken = true
      }
      if (entry.version !== null) await outbox.remove('waiting', entry.name)
      drop(entry, lane)
    } catch (error) {
      if (closed) return
      entry.nextAt = Date.now() + backoffMs(5)
      log.error({ err: error, event: entry.name }, 'the outbox of hooks fails')
    }
  }

  /**
   * Whether it is this one's turn. What came before it may be with another process, or left by one that is gone: that is
   * taken over then, and sent first.
   */
  async function comesNext(entry: Entry, event: StoredEvent, lane: Lane): Promise<boolean> {
    if (entry.isNext) return true
    for (const name of namesBefore(event)) {
      const isHere = () => lane.entries.some((other) => other.name === name)
      if (!isHere()) {
        const found = await outbox.read('waiting', name)
        if (found === null && !isHere()) continue
        const before = found?.event
        // It was given back, and its time has not come: this one waits for it there.
        if (before?.owner === '' && before.nextAt > Date.now() && isStored(lane)) {
          await giveBack(lane, before.nextAt)
          return false
        }
        if (found !== null && (await isLeft(found.event))) await adopt(found.event, found.version)
      }
      // What was taken over while this one ran stands behind it.
      if (isHere()) sort(lane)
      // Another one has it, or takes it over at this moment. Never at once: that one could not go on.
      else entry.nextAt = Date.now() + turnMs
      return false
    }
    entry.isNext = true
    return true
  }

  /** Whether nobody is going to send it. */
  async function isLeft({ owner, leaseUntil }: StoredEvent): Promise<boolean> {
    if (owner === '') return true
    // Its own, and not here, it has lost by a write that failed but for its result, or is accepting it just now.
    const isGone = owner === outbox.self ? null : await outbox.isGone(owner)
    return isGone ?? leaseUntil < Date.now()
  }

  /** What has not happened may be told at any moment, or never: it is looked less often as time goes by. */
  function postpone(entry: Entry, { at }: StoredEvent): void {
    if (!entry.pending) return
    const now = Date.now()
    entry.nextAt = now + Math.min(Math.max(pendingMs, now - at), 30 * pendingMs)
    if (entry.version !== null) entry.event = null
  }

  /** The event, if it is this process's to deliver; for long enough to do so. */
  async function own(entry: Entry): Promise<StoredEvent | null> {
    const event = await current(entry)
    if (event === null || entry.version === null || event.leaseUntil - Date.now() > timeoutMs + marginMs / 2)
      return event
    return (await record(entry, { ...event, leaseUntil: leaseFrom(Date.now()) })) ? entry.event : null
  }

  /** The event as it stands, if it is this process's. */
  async function current(entry: Entry): Promise<StoredEvent | null> {
    if (entry.version === null || entry.event !== null) return entry.event
    const found = await outbox.read('waiting', entry.name)
    if (found === null || found.event.owner !== outbox.self) return null
    Object.assign(entry, found)
    return found.event
  }

  /** Lets all events of an upload wait in the outbox alone, for whichever process has room when it is time. */
  async function giveBack(lane: Lane, nextAt: number): Promise<void> {
    // Each is removed from the lane as it goes.
    const all = [...lane.entries]
    for (const entry of all) {
      const event = await current(entry)
      if (event !== null && entry.version !== null) {
        // If this fails, it is read again: it may have been written all the same.
        entry.event = null
        const pending = entry.pending ? event.pending : null
        const free = { ...event, pending, nextAt: Math.max(nextAt, event.nextAt), owner: '', leaseUntil: 0 }
        await outbox.replace(free, entry.version)
      }
      drop(entry, lane)
    }
  }

  /** Writes down how an event stands. False when another process has it now. */
  async function record(entry: Entry, event: StoredEvent): Promise<boolean> {
    entry.event = event
    if (entry.version === null) return true
    const version = await outbox.replace(event, entry.version)
    if (version === null) return false
    entry.version = version
    return true
  }

  function leaseFrom(nextAt: number): number {
    return nextAt + timeoutMs + marginMs
  }

  /** Whether it was taken, or given up. Else it waits for its next try. */
  async function send(event: StoredEvent, entry: Entry, lane: Lane): Promise<boolean> {
    const about = { event: event.eventId, type: event.type, id: event.uploadId }
    try {
      using deadline = startDeadline(timeoutMs, ending.signal)
      if (transport.handles(event.type)) await transport.send(event, deadline.signal)
      log.debug(about, 'hook delivered')
      return true
    } catch (error) {
      if (closed) return false
      const attempts = event.attempts + 1
      const reason = reasonOf(error)
      const isLast = attempts > retries && Date.now() - event.at >= giveUpAfterMs
      const failed = { ...event, attempts, error: reason }
      if (isLast || (error instanceof HookError && error.gone)) {
        options.onDead?.(event.type)
        log.error({ ...about, attempts, reason }, 'hook given up; `fileloft hooks replay` sends it again')
        await outbox.put('dead', { ...failed, owner: '', leaseUntil: 0 })
        return true
      }
      const nextAt = Date.now() + backoffMs(attempts)
      log.warn({ ...about, attempts, reason, next: new Date(nextAt).toISOString() }, 'hook not delivered')
      entry.nextAt = nextAt
      // What keeps failing must not take the room of what would not.
      if (isAwaited && isStored(lane)) {
        entry.event = { ...failed, nextAt }
        await giveBack(lane, nextAt)
        return false
      }
      // Else it stays as it is, for whoever has it now.
      const kept = await record(entry, { ...failed, nextAt, leaseUntil: leaseFrom(nextAt) })
      if (!kept || entry.version !== null) entry.event = null
      return false
    }
  }

  async function adopt(event: StoredEvent, version: string): Promise<void> {
    // Whoever announced it is gone: by now it has happened, or will not. Unless there was no room for it.
    const isGone = event.pending !== null && event.owner !== ''
    const nextAt = isGone ? Date.now() : Math.max(Date.now(), event.nextAt)
    const mine = { ...event, nextAt, owner: outbox.self, leaseUntil: leaseFrom(nextAt) }
    const taken = await outbox.replace(mine, version)
    if (taken === null) return
    const pending = mine.pending !== null
    const entry = { name: nameOf(mine), nextAt, event: null, version: taken, pending, isNext: false, taken: false }
    enter(entry, laneOf(event.uploadId))
  }

  return {
    async accept(message, upload, pending = null) {
      const now = Date.now()
      const nextAt = pending === null ? now : now + pendingMs
      const lane = laneOf(upload.id)
      const isMine = lanes.has(lane) || hasRoom()
      const lease = isMine ? { owner: outbox.self, leaseUntil: leaseFrom(nextAt) } : { owner: '', leaseUntil: 0 }
      const event: StoredEvent = { ...newEvent(message, upload, pending), nextAt, ...lease }
      const entry = { name: nameOf(event), nextAt, event, pending: pending !== null, isNext: false, taken: false }
      try {
        const version = await outbox.put('waiting', event)
        // Those that have to wait for long are read again.
        if (isMine) enter({ ...entry, event: lanes.size < mostInMemory ? event : null, version }, lane)
      } catch (error) {
        // Before an upload is completed nothing is lost yet, and its client asks again.
        if (message.type === 'post-finish') throw error
        // Else it has happened, or is to happen all the same: what can be done without the outbox is done.
        const loss = isMine ? 'it is lost if this process ends' : 'it is lost, since too many wait in memory'
        log.error({ err: error, event: event.eventId }, `a hook cannot be stored; ${loss}`)
        if (isMine) enter({ ...entry, version: null }, lane)
      }
    },

    confirm(key) {
      const lane = laneOf(key.uploadId)
      const entry = lanes.get(lane)?.entries.find(({ name, pending }) => pending && name === nameOf(key))
      if (entry === undefined) return false
      entry.pending = false
      entry.nextAt = Date.now()
      wake(lane)
      return true
    },

    adopt,
    hasRoom,

    has: (name) =>
      lanes.get(name.slice(0, name.lastIndexOf('@')))?.entries.some((entry) => entry.name === name) ?? false,

    async isBusy(event) {
      if (lanes.has(laneOf(event.uploadId))) return true
      for (const name of namesBefore(event)) if ((await outbox.read('waiting', name)) !== null) return true
      return false
    },

    async close(graceMs) {
      closed = true
      for (const { timer } of lanes.values()) clearTimeout(timer)
      const timer = setTimeout(() => ending.abort(new Error('the server shuts down')), graceMs)
      await Promise.all(active)
      clearTimeout(timer)
    },
  }
}
