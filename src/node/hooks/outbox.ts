/**
 * Events that are to be delivered, one object each: `waiting/<name>`, or `dead/<name>` once they were given up. A name
 * says which upload it is about and what comes after what; an event that is stored again takes the place of the former
 * one, so what happens twice is delivered once, mostly.
 */
import { createHash } from 'node:crypto'
import * as v from 'valibot'
import type { Upload } from '../../store.ts'
import type { Shelf } from './shelf.ts'
import type { Message } from './transport.ts'
import { type HookType, hookTypes, keptTypes } from './types.ts'

export type State = 'waiting' | 'dead'

const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const eventSchema = v.object({
  /** Of the format. */
  fileloft: v.literal(1),
  eventId: v.string(),
  type: v.picklist(hookTypes),
  uploadId: v.string(),
  /** When the upload was created: ids may be used anew. Milliseconds since the epoch, as all times here. */
  createdAt: count,
  /** When it happened. */
  at: count,
  /**
   * Written before it happened for good: an upload that is about to be completed, or removed. Whoever finds it has to
   * look whether it did; null where that is certain.
   */
  pending: v.nullable(v.picklist(['finish', 'terminate'])),
  /** The process that delivers it, and until when nobody else does. */
  owner: v.string(),
  leaseUntil: count,
  /** How often it was sent without success. */
  attempts: count,
  /** When it is sent next. */
  nextAt: count,
  /** Why it was not taken the last time. */
  error: v.nullable(v.string()),
  /** Headers of the client's request that go along. */
  headers: v.record(v.string(), v.string()),
  body: v.string(),
})

export type StoredEvent = Readonly<v.InferOutput<typeof eventSchema>>

export interface Outbox {
  readonly self: string
  put(state: State, event: StoredEvent): Promise<string>
  /** Only if it is still that version, else null: another process has it. */
  replace(event: StoredEvent, version: string): Promise<string | null>
  /** Null when it is not there. @throws Error when it cannot be read. */
  read(state: State, name: string): Promise<{ readonly event: StoredEvent; readonly version: string } | null>
  remove(state: State, name: string): Promise<void>
  /** Names of all events. */
  list(state: State): Promise<string[]>
  isGone(owner: string): Promise<boolean | null>
  close(): Promise<void>
}

export function createOutbox(shelf: Shelf): Outbox {
  return {
    self: shelf.self,
    // A creation is no more durable than the upload is: its record is not synced either.
    put: (state, event) =>
      shelf.put(`${state}/${nameOf(event)}`, bytesOf(event), { durable: event.type !== 'post-create' }),
    replace: (event, version) => shelf.replace(`waiting/${nameOf(event)}`, bytesOf(event), version),
    async read(state, name) {
      const found = await shelf.get(`${state}/${name}`)
      return found && { event: parseEvent(found.bytes, name), version: found.version }
    },
    remove: (state, name) => shelf.delete(`${state}/${name}`),
    list: (state) => shelf.list(`${state}/`),
    isGone: (owner) => shelf.isGone(owner),
    close: () => shelf.close(),
  }
}

/** An event that nobody has sent yet. */
export function newEvent(
  { type, eventId, headers, body }: Message,
  { id, createdAt }: Pick<Upload, 'id' | 'createdAt'>,
  pending: StoredEvent['pending'],
): Omit<StoredEvent, 'owner' | 'leaseUntil'> {
  const at = Date.now()
  const state = { pending, attempts: 0, nextAt: at, error: null }
  return { fileloft: 1, eventId, type, uploadId: id, createdAt, at, ...state, headers, body }
}

/**
 * What an event is stored as. Names of one upload sort in the order of what happened: by creation, where an id is used
 * anew, then by type.
 */
export function nameOf({ uploadId, createdAt, type }: Pick<StoredEvent, 'uploadId' | 'createdAt' | 'type'>): string {
  return `${laneOf(uploadId)}@${createdAt.toString(36).padStart(9, '0')}-${rankOf(type)}`
}

/** Names of events of the same upload that come before this one. */
export function namesBefore(event: Pick<StoredEvent, 'uploadId' | 'createdAt' | 'type'>): string[] {
  const earlier = keptTypes.filter((type) => rankOf(type) < rankOf(event.type))
  return earlier.map((type) => nameOf({ ...event, type }))
}

/** What the names of one upload's events start with. */
export function laneOf(uploadId: string): string {
  const encoded = encodeURIComponent(uploadId)
  return encoded.length <= 180 ? encoded : `=${createHash('sha256').update(uploadId).digest('hex')}`
}

/** The lane that a name is in, or null when it is no event's. */
export function laneIn(name: string): string | null {
  return /^([^@]+)@[0-9a-z]{9}-\d$/.exec(name)?.[1] ?? null
}

function rankOf(type: HookType): number {
  return hookTypes.indexOf(type)
}

function bytesOf(event: StoredEvent): Uint8Array {
  return Buffer.from(JSON.stringify(event))
}

function parseEvent(bytes: Uint8Array, name: string): StoredEvent {
  try {
    return v.parse(eventSchema, JSON.parse(Buffer.from(bytes).toString()))
  } catch (error) {
    throw new Error(`The stored event ${name} cannot be read`, { cause: error })
  }
}
