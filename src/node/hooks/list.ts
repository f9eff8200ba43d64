import { HookError, reasonOf } from './failure.ts'
import type { Outbox, State, StoredEvent } from './outbox.ts'
import type { Transport } from './transport.ts'

type Write = (line: string) => void

interface Found {
  readonly state: State
  readonly name: string
  readonly event: StoredEvent
}

/** Says what waits to be delivered, and what was given up. */
export async function listHooks(outbox: Outbox, write: Write): Promise<void> {
  const waiting = await readAll(outbox, 'waiting', write)
  const dead = await readAll(outbox, 'dead', write)
  for (const { state, event } of [...waiting, ...dead]) {
    const { eventId, attempts, at, nextAt, error } = event
    const next = state === 'waiting' && attempts > 0 ? `, next ${timeOf(nextAt)}` : ''
    const tries = `${attempts} ${attempts === 1 ? 'try' : 'tries'}`
    write(`${state.padEnd(7)}  ${eventId}  since ${timeOf(at)}, ${tries}${next}${error === null ? '' : `: ${error}`}`)
  }
  write(`${waiting.length} waiting, ${dead.length} dead`)
}

/**
 * Sends events again that were given up, in their order, and says what became of each. Those that fail stay dead.
 * @returns whether all of them were delivered.
 */
export async function replayHooks(
  outbox: Outbox,
  transport: Transport,
  which: readonly string[] | 'all',
  timeoutMs: number,
  write: Write,
): Promise<boolean> {
  const dead = await readAll(outbox, 'dead', write)
  const chosen = which === 'all' ? dead : dead.filter(({ event }) => which.includes(event.eventId))
  let delivered = 0
  for (const { name, event } of chosen) {
    try {
      if (!transport.handles(event.type)) throw new HookError(`there is no ${event.type} in ${transport.name}`)
      await transport.send(event, AbortSignal.timeout(timeoutMs))
      await outbox.remove('dead', name)
      delivered++
      write(`delivered  ${event.eventId}`)
    } catch (error) {
      await outbox.put('dead', { ...event, attempts: event.attempts + 1, error: reasonOf(error) })
      write(`failed     ${event.eventId}: ${reasonOf(error)}`)
    }
  }
  const unknown = which === 'all' ? [] : which.filter((id) => !dead.some(({ event }) => event.eventId === id))
  for (const id of unknown) write(`unknown    ${id}: no such event is dead`)
  const failed = chosen.length - delivered
  write(`${delivered} delivered, ${failed} failed${unknown.length > 0 ? `, ${unknown.length} unknown` : ''}`)
  return failed === 0 && unknown.length === 0
}

/** What is delivered meanwhile is left out; what cannot be read is said. */
async function readAll(outbox: Outbox, state: State, write: Write): Promise<Found[]> {
  const all: Found[] = []
  for (const name of (await outbox.list(state)).sort()) {
    try {
      const found = await outbox.read(state, name)
      if (found !== null) all.push({ state, name, event: found.event })
    } catch (error) {
      write(`broken   ${reasonOf(error)}`)
    }
  }
  return all
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}
