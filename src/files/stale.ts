import fs from 'node:fs'
import { isMissing } from './io.ts'
import { lifeOf, parseOwner, sharesClock, type Owner } from './owner.ts'

/** A heartbeat that stands still for so long is over, in milliseconds. Owners beat several times in this time. */
export const silenceMs = 15_000

/** How far the clocks of two machines may be apart before a stopped heartbeat is taken for a running one, or back. */
const skewMs = 45_000

/**
 * Tells locks (and wants) of the dead from those of the living. Where the owner's process can be looked at, it
 * decides: one that is merely stopped is alive. Elsewhere, and between threads of one process, the heartbeat decides,
 * the file's time of change: by our clock where it is the owner's too, else by watching it stand still.
 */
export function staleness(): (path: string) => boolean {
  /** Heartbeats of other machines as first seen, by file. */
  const seen = new Map<string, { mtimeMs: number; at: number }>()

  return (path) => {
    const file = look(path)
    if (file === null) return false
    const { owner, stats } = file
    const life = owner === null ? 'unknown' : lifeOf(owner)
    if (life !== 'unknown') return life === 'dead'

    const age = Date.now() - stats.mtimeMs
    if (age > (owner !== null && sharesClock(owner) ? silenceMs : silenceMs + skewMs)) return true
    const key = `${stats.dev}:${stats.ino}`
    const now = performance.now()
    const before = seen.get(key)
    if (before?.mtimeMs === stats.mtimeMs) return now - before.at > silenceMs
    // Only the locks that are waited for right now matter; a thousand of other machines is more than enough.
    if (seen.size > 1000) seen.clear()
    seen.set(key, { mtimeMs: stats.mtimeMs, at: now })
    return false
  }
}

/** One file's owner and times, of one moment; null when there is none. */
function look(path: string): { owner: Owner | null; stats: fs.Stats } | null {
  let fd: number
  try {
    fd = fs.openSync(path, 'r')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  try {
    const buffer = Buffer.alloc(2048)
    const count = fs.readSync(fd, buffer, 0, buffer.length, 0)
    return { owner: parseOwner(buffer.toString('utf8', 0, count)), stats: fs.fstatSync(fd) }
  } finally {
    fs.closeSync(fd)
  }
}
