import type { CreateEvent, Reply, UploadEvent } from '../hooks.ts'
import type { Platform } from '../platform.ts'
import type { Upload } from '../store.ts'

/** Who asks, and what is to be said in the end. */
export interface Caller {
  readonly request: Request
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  /** Keeps the request alive for what may end after its answer. */
  readonly waitUntil: Platform['waitUntil']
  /** What `onRequest` returned. */
  context: unknown
  /** What hooks add to the answer. */
  reply: Reply | null
  /** What goes behind the URL of the upload that is created: `?` and the query, or nothing. */
  query: string
}

type EventType = 'created' | 'progress' | 'finish' | 'terminate' | 'expire'

/** The part of an event that tells who asked. */
export function requestOf(caller: Caller): Omit<CreateEvent, 'upload'> {
  const { request, remoteAddress, remotePort, context } = caller
  return { request, remoteAddress, remotePort, context }
}

/** An event about an upload. @param caller null in a sweep */
export function eventOf(type: EventType, upload: Upload, caller: Caller | null): UploadEvent {
  const request = caller?.request ?? null
  return {
    eventId: eventId(type, upload),
    upload,
    request,
    remoteAddress: caller?.remoteAddress,
    remotePort: caller?.remotePort,
    context: caller?.context,
  }
}

/**
 * Made of what stays, so that a hook that runs again for the same thing, perhaps elsewhere, gets the same one. An id may
 * be used anew after its upload was removed; hence the time.
 */
function eventId(type: EventType, { id, createdAt, offset }: Upload): string {
  const name = encodeURIComponent(id).replace(
    /[.!'()*~]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${type}_${createdAt.toString(36)}_${name}${type === 'progress' ? `_${offset}` : ''}`
}

/**
 * Adds to what is said in the end; what comes later wins.
 * @throws TypeError when it cannot be said.
 */
export function addReply(caller: Caller | null, reply: Reply | undefined | void): void {
  if (reply === undefined) return
  const { headers = {} } = reply
  const { status, body } = { ...caller?.reply, ...reply }
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 399)) {
    throw new TypeError(`A hook may answer a status from 200 to 399, not ${status}; throw a TusError to refuse`)
  }
  if (body !== undefined && (status === 204 || status === 205 || status === 304)) {
    throw new TypeError(`A hook may not answer ${status} with a body`)
  }
  // Throws for what cannot be sent, while the hook can still be said to have failed.
  const valid = new Headers(headers)
  if (caller === null) return
  caller.reply = { ...caller.reply, ...reply, headers: { ...caller.reply?.headers, ...Object.fromEntries(valid) } }
}
