import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import { isMissing, remove } from './io.ts'
import { presence } from './presence.ts'
import { staleness } from './stale.ts'
import { watchFolder, type Watch } from './watch.ts'

/** Locks between processes. Names are file names; within the process, one at a time may take or wait for a name. */
export interface LockFiles {
  /** Whether there is no lock file, not even that of a dead holder. */
  isFree(name: string): boolean
  /** Takes the lock if it is free, or its holder is dead. */
  tryTake(name: string, onWanted: (() => void) | undefined): FileLock | null
  /** Waits for it, and lets the holder know. Rejects with `signal.reason`, leaving nothing behind. */
  take(name: string, onWanted: (() => void) | undefined, signal: AbortSignal): Promise<FileLock>
}

export interface FileLock {
  /** Throws a StoreError with code `lock_lost` once somebody else has taken the lock over. */
  readonly guard: () => void
  /** Never throws. */
  readonly release: () => void
}

/** Between two looks at what events should have told, in milliseconds; and without events. */
const lookMs = 1_000
const lookOftenMs = 200

/** A heartbeat every few looks. */
const looksPerBeat = 4

/** Without locks for so many looks, this process leaves: no timer, no watch, no file. */
const idleLooks = 10

/** After giving way, as long as this process lets the other one come first, in milliseconds. */
const yieldMs = 50

interface Held {
  readonly path: string
  onWanted: (() => void) | undefined
  /** Whether another process asked for it. */
  wanted: boolean
  lost: boolean
}

/**
 * The lock of a name is the file `<name>.lock`, a link to its holder's owner file. Who waits puts a link into `want/`,
 * which holders watch, and watches for the lock to go. A lock of a dead holder is removed under a lock of its own
 * (`<name>.lock~`, taken the same way), so that two who find it dead cannot remove each other's new one.
 */
export function lockFiles(directory: string): LockFiles {
  const uuid = randomUUID()
  const wants = `${directory}/want`
  const held = new Map<string, Held>()
  /** Wakes those who wait, by lock file name. */
  const waiting = new Map<string, () => void>()
  /** Names just given up for another process, and until when to leave them to it. */
  const yielding = new Map<string, number>()
  /** Files of ours that could not be removed. */
  const leftovers = new Set<string>()
  const isStale = staleness()
  const self = presence(directory, uuid, () => [...held.values()].map(({ path }) => path))

  let timer: NodeJS.Timeout | undefined
  let wantWatch: Watch | undefined
  let lockWatch: Watch | undefined
  let looks = 0
  let idle = 0
  let swept = false
  let wantCount = 0

  const pathOf = (name: string): string => `${directory}/${name}.lock`

  /** Called before anything is taken: signs of life and open ears come first. */
  function enter(): void {
    idle = 0
    if (timer !== undefined) return
    self.arrive()
    wantWatch = watchFolder(wants, onWantName)
    timer = setInterval(look, lookMs)
    timer.unref()
    if (swept) return
    swept = true
    quietly(removeDead)
  }

  function leave(): void {
    clearInterval(timer)
    timer = undefined
    wantWatch?.close()
    quietly(() => self.leave())
  }

  /** The slow look: what events and the quick paths have missed. */
  function look(): void {
    looks++
    if (looks % looksPerBeat === 0) quietly(refresh)
    for (const path of leftovers) quietly(() => drop(path))
    const now = Date.now()
    for (const [name, until] of yielding) if (until < now) yielding.delete(name)
    if (held.size > 0) quietly(() => fs.readdirSync(wants).forEach(onWantName))
    if (held.size > 0 || waiting.size > 0 || leftovers.size > 0) idle = 0
    else if (++idle >= idleLooks) leave()
  }

  /** Beats; after a silence in which others may have taken this process for dead, looks at what it still holds. */
  function refresh(): void {
    const fresh = self.isFresh()
    self.beat()
    if (fresh) return
    for (const lock of held.values()) lock.lost ||= !self.owns(lock.path)
  }

  function onWantName(file: string): void {
    const lock = held.get(file.slice(0, file.lastIndexOf('@')))
    if (lock === undefined || lock.wanted) return
    const path = `${wants}/${file}`
    quietly(() => {
      // The name may have come up because the want is gone, or be that of a waiter who died.
      if (self.owns(path) || !fs.existsSync(path)) return
      if (isStale(path)) {
        remove(path)
        return
      }
      lock.wanted = true
      lock.onWanted?.()
    })
  }

  /** Links `path`, over a dead holder's lock if need be. The depth is that of thieves who died stealing. */
  function seize(path: string, depth = 0): boolean {
    if (self.link(path)) return true
    if (leftovers.has(path) && drop(path)) return self.link(path)
    if (depth > 3 || !isStale(path)) return false
    const theft = `${path}~`
    if (!seize(theft, depth + 1)) return false
    try {
      // Looked at again: only who holds `theft` removes the lock of somebody else.
      if (isStale(path)) remove(path)
      return self.link(path)
    } finally {
      remove(theft)
    }
  }

  /**
   * Removes a file of ours, if it is still ours; false when that has to be tried again. Looked at even while nobody can
   * have stolen it: somebody may have cleared the folder, and another holder's lock must not go.
   */
  function drop(path: string): boolean {
    let done = true
    if (!self.owns(path)) leftovers.delete(path)
    else if (self.isFresh()) remove(path)
    else {
      // Somebody may be about to take it for dead: not between the look and the removal.
      const theft = `${path}~`
      done = seize(theft)
      if (done) {
        if (self.owns(path)) remove(path)
        remove(theft)
      }
    }
    if (done) leftovers.delete(path)
    return done
  }

  function tryTake(name: string, onWanted: (() => void) | undefined): FileLock | null {
    enter()
    const path = pathOf(name)
    if (!seize(path)) return null
    const lock: Held = { path, onWanted, wanted: false, lost: false }
    held.set(name, lock)
    return {
      guard() {
        if (!self.isFresh()) refresh()
        if (lock.lost) throw new StoreError('lock_lost', `The lock ${path} was taken over by another process`)
      },
      release() {
        if (held.get(name) !== lock) return
        held.delete(name)
        if (lock.wanted) yielding.set(name, Date.now() + yieldMs)
        if (!lock.lost && !quietly(() => drop(path))) leftovers.add(path)
      },
    }
  }

  async function take(name: string, onWanted: (() => void) | undefined, signal: AbortSignal): Promise<FileLock> {
    const until = yielding.get(name)
    yielding.delete(name)
    if (until !== undefined && until > Date.now()) await pause(until - Date.now(), signal)
    return tryTake(name, onWanted) ?? wait(name, onWanted, signal)
  }

  async function wait(name: string, onWanted: (() => void) | undefined, signal: AbortSignal): Promise<FileLock> {
    const want = `${wants}/${name}@${uuid}-${++wantCount}`
    const file = `${name}.lock`
    let wake = (): void => undefined
    waiting.set(file, () => wake())
    lockWatch ??= watchFolder(directory, (changed) => {
      if (changed === '') for (const waiter of waiting.values()) waiter()
      else waiting.get(changed)?.()
    })
    try {
      self.link(want)
      for (;;) {
        const lock = tryTake(name, onWanted)
        if (lock !== null) return lock
        // Whoever holds it now may have come since the last time.
        quietly(() => touch(want))
        const ms = lockWatch.works ? lookMs : lookOftenMs
        await pause(ms, signal, (resume) => {
          wake = resume
        })
      }
    } finally {
      waiting.delete(file)
      if (waiting.size === 0) {
        lockWatch?.close()
        lockWatch = undefined
      }
      if (!quietly(() => remove(want))) leftovers.add(want)
    }
  }

  /** Once, at the start: what processes that died have left, and nobody may ever ask for again. */
  function removeDead(): void {
    for (const file of fs.readdirSync(directory)) {
      if (!file.endsWith('.lock')) continue
      const path = `${directory}/${file}`
      if (isStale(path) && seize(path)) remove(path)
    }
    for (const folder of [wants, `${directory}/owner`]) {
      for (const file of fs.readdirSync(folder)) if (isStale(`${folder}/${file}`)) remove(`${folder}/${file}`)
    }
  }

  function isFree(name: string): boolean {
    try {
      return fs.statSync(pathOf(name), { throwIfNoEntry: false }) === undefined
    } catch {
      // Whoever takes the lock now is told what is wrong.
      return false
    }
  }

  return { isFree, tryTake, take }
}

function touch(path: string): void {
  const now = new Date()
  fs.utimesSync(path, now, now)
}

/** Whether it worked. For what is tried again later, or makes no difference. */
function quietly(work: () => unknown): boolean {
  try {
    return work() !== false
  } catch (error) {
    return isMissing(error)
  }
}

/** Waits until the time is over or `resume` is called. Rejects with the signal's reason. */
function pause(ms: number, signal: AbortSignal, onStart?: (resume: () => void) => void): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error)
      return
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', abort, { once: true })
    onStart?.(done)

    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      resolve()
    }
    function abort(): void {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
  })
}
