import fs from 'node:fs'
import { hostname } from 'node:os'
import { errorCode } from './io.ts'

/** Who holds a lock: what the file says, in JSON. */
export interface Owner {
  readonly host: string
  /** Which start of the machine this is; null where the system does not tell. */
  readonly boot: string | null
  /** The namespace in which `pid` means something (containers); null where the system has none. */
  readonly pidNamespace: string | null
  readonly pid: number
  /** When the process started, in the system's own units: a process id is used again; null where not told. */
  readonly start: string | null
  /** One per locker, as a process may have several. */
  readonly uuid: string
}

/** This process, under a name of its own. */
export function ownOwner(uuid: string): Owner {
  return { ...self(), uuid }
}

/** What a lock file says, or `null` when it says nothing that can be relied on. */
export function parseOwner(text: string): Owner | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  return isOwner(value) ? value : null
}

/** Lockers of this thread that have an owner file, by uuid: however long the thread was busy, they live. */
export const livingHere = new Set<string>()

/**
 * What can be known about an owner from here: `unknown` when it lives on another machine, in another container or in
 * another thread of this process (which may have ended), or the system does not tell processes with one id apart.
 */
export function lifeOf(owner: Owner): 'alive' | 'dead' | 'unknown' {
  if (livingHere.has(owner.uuid)) return 'alive'
  const me = self()
  if (me.boot === null || me.pidNamespace === null) {
    return owner.boot === null && owner.host === me.host && !exists(owner.pid) ? 'dead' : 'unknown'
  }
  if (owner.boot !== me.boot || owner.pidNamespace !== me.pidNamespace) return 'unknown'
  if (owner.pid === me.pid && owner.start === me.start) return 'unknown'
  // /proc may hide other users' processes; a signal finds them all the same.
  if (!exists(owner.pid)) return 'dead'
  const process = processState(owner.pid)
  if (process === null) return 'alive'
  return process.start !== owner.start || process.state === 'Z' || process.state === 'X' ? 'dead' : 'alive'
}

/** Whether an owner's clock is ours. */
export function sharesClock(owner: Owner): boolean {
  return owner.boot !== null && owner.boot === self().boot
}

let known: Omit<Owner, 'uuid'> | undefined

function self(): Omit<Owner, 'uuid'> {
  known ??= {
    host: hostname(),
    boot: attempt(() => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: attempt(() => fs.readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    start: processState(process.pid)?.start ?? null,
  }
  return known
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}

/** Fields 3 and 22 of /proc/<pid>/stat (man proc_pid_stat); the name before them may hold anything. */
function processState(pid: number): { state: string; start: string } | null {
  const text = attempt(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? []
  const [state, start] = [fields[0], fields[19]]
  return state === undefined || start === undefined ? null : { state, start }
}

function attempt(read: () => string): string | null {
  try {
    return read() || null
  } catch {
    return null
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false
  const { host, boot, pidNamespace, pid, start, uuid } = value as Record<string, unknown>
  return (
    typeof host === 'string' &&
    isTextOrNull(boot) &&
    isTextOrNull(pidNamespace) &&
    typeof pid === 'number' &&
    Number.isSafeInteger(pid) &&
    pid > 0 &&
    isTextOrNull(start) &&
    typeof uuid === 'string'
  )
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
