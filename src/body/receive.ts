/**
 * The first and only layer between a request body and the store: it counts, caps, watches the clock, and turns every
 * way in which a body can stop early into an orderly end, so that what has arrived is kept.
 */
import { TusError } from '../errors.ts'
import { isPerRequest } from '../platform.ts'
import { createPace, type MinRate } from './pace.ts'

/** Why a body ended before it was whole. */
export type Cut = 'disconnected' | 'idle' | 'slow' | 'evicted' | 'closing' | 'stopped' | 'refused'

/** What a source throws that takes no more of its body: what it has handed over counts, and `answer` is the reason. */
export class BodyRefused extends Error {
  override readonly name = 'BodyRefused'
  readonly answer: TusError

  constructor(answer: TusError) {
    super(answer.message)
    this.answer = answer
  }
}

/** Asks a running body to end. One per request that works on an upload. */
export interface Stop {
  /** Set once the body shall end. */
  reason: Cut | null
  /** Called when `reason` is set, if somebody listens. */
  listener: (() => void) | null
  /** What the application answers, where it has stopped the upload. */
  error: TusError | null
  /** Whether the application wants the stopped upload to be removed. */
  terminate: boolean
  /** What the source of the body says, where it takes no more. */
  refusal: TusError | null
}

export function newStop(): Stop {
  return { reason: null, listener: null, error: null, terminate: false, refusal: null }
}

export interface ReceiveOptions {
  /** Most bytes the body may have; the first byte more throws `too_large`. */
  readonly room: number
  /** `Content-Length`, or null when the body's length is not declared. */
  readonly expected: number | null
  /** Milliseconds without a byte before the body is cut; 0 = for ever. */
  readonly idleTimeoutMs: number
  /** How slow the client may be; null = as slow as it likes. */
  readonly minRate: MinRate | null
  readonly stop: Stop
  /** A body that is cut throws instead of ending: its bytes are worth nothing without the rest. */
  readonly atomic: boolean
}

export interface Received extends AsyncIterableIterator<Uint8Array> {
  /** How the body was cut short, or null; known once it has ended. */
  cut: Cut | null
}

/**
 * Wraps a body. Written as a bare iterator: `Promise.race` against a long-lived promise would keep every chunk's
 * reaction in memory, and a transform stream costs several times the copy itself.
 */
export function receive(source: AsyncIterable<Uint8Array>, options: ReceiveOptions): Received {
  const { room, expected, idleTimeoutMs, minRate, stop, atomic } = options
  const iterator = source[Symbol.asyncIterator]()
  const pace = minRate === null ? null : createPace(minRate)
  const isTimed = idleTimeoutMs > 0 || pace !== null
  let count = 0
  let ended = false
  let waitingSince = 0
  /** Once the chunk that arrived too late has been handed over, for it counts. */
  let slowed = false
  let pending: { resolve: (r: IteratorResult<Uint8Array>) => void; reject: (e: unknown) => void } | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let poll: ReturnType<typeof setInterval> | undefined

  const end = () => {
    ended = true
    clearTimeout(timer)
    clearInterval(poll)
    stop.listener = null
  }
  /** Leaves the source alone; it may still be waiting for a chunk that nobody wants any more. */
  const abandon = () => void iterator.return?.().then(undefined, () => {})

  const settle = (reason: Cut | null) => {
    const waiting = pending
    pending = null
    end()
    // All that was announced is here: whoever was going to cut the body came too late.
    const cut = expected !== null && count >= expected ? null : reason
    received.cut = cut
    if (cut !== null && atomic) waiting?.reject(cutError(cut, stop))
    else waiting?.resolve({ done: true, value: undefined })
  }
  const interrupt = (cut: Cut) => {
    if (ended) return
    abandon()
    settle(cut)
  }
  const fail = (error: TusError) => {
    const waiting = pending
    pending = null
    end()
    abandon()
    waiting?.reject(error)
  }
  const watch = () => {
    // Only the time spent waiting for the client counts, not the time the store takes.
    const waiting = pending === null ? 0 : Date.now() - waitingSince
    const idleLeft = idleTimeoutMs > 0 ? idleTimeoutMs - waiting : Infinity
    const paceLeft = pace?.left(waiting) ?? Infinity
    if (idleLeft <= 0) interrupt('idle')
    else if (paceLeft <= 0 && pending !== null) interrupt('slow')
    else timer = setTimeout(watch, Math.max(1, Math.min(idleLeft, paceLeft)))
  }
  const onChunk = (result: IteratorResult<Uint8Array>) => {
    if (pending === null) return
    if (result.done === true) {
      settle(expected !== null && count < expected ? 'disconnected' : null)
      return
    }
    count += result.value.byteLength
    if (count > room) {
      fail(new TusError('too_large', 'The body is longer than what is left of the upload'))
      return
    }
    if (pace?.isTooSlow(Date.now() - waitingSince, result.value.byteLength) === true) slowed = true
    const { resolve } = pending
    pending = null
    resolve(result)
  }
  // Whatever breaks a body on its way here is the connection's failure, not the upload's; unless it says otherwise.
  const onError = (error: unknown) => {
    if (pending === null) return
    if (error instanceof BodyRefused) {
      stop.refusal = error.answer
      settle('refused')
    } else if (error instanceof TusError) fail(error)
    else if (isRefusal(error)) fail(new TusError('too_large', 'The body is longer than this server takes'))
    else settle('disconnected')
  }

  const steps: Omit<Received, typeof Symbol.asyncIterator> = {
    cut: null,
    next() {
      return new Promise((resolve, reject) => {
        if (ended) {
          resolve({ done: true, value: undefined })
          return
        }
        pending = { resolve, reject }
        if (stop.reason !== null || slowed) {
          interrupt(stop.reason ?? 'slow')
          return
        }
        if (isTimed) {
          waitingSince = Date.now()
          timer ??= setTimeout(watch, Math.min(idleTimeoutMs || Infinity, minRate?.windowMs ?? Infinity))
        }
        iterator.next().then(onChunk, onError)
      })
    },
    return() {
      if (!ended) {
        end()
        abandon()
      }
      return Promise.resolve({ done: true, value: undefined })
    },
  }
  // Not in the literal: V8 makes those with a computed name forty times as slowly, and their properties with them.
  const received = steps as Received
  received[Symbol.asyncIterator] = () => received
  const look = () => {
    // Between two chunks `next` sees the reason itself.
    if (pending !== null && stop.reason !== null) interrupt(stop.reason)
  }
  if (isPerRequest) poll = setInterval(look, pollMs)
  else stop.listener = look
  return received
}

/** Some frameworks break a body that is over their own limit by an error with this status (SvelteKit on Node). */
function isRefusal(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'status' in error && error.status === 413
}

/** Where a body cannot be told by the request that wants it to end, it looks by itself. */
const pollMs = 50

/** The answer for a body that was cut: statuses that clients retry, or what the application says. */
export function cutError(cut: Cut, { error, refusal }: Stop): TusError {
  switch (cut) {
    case 'stopped':
      return error ?? new TusError('rejected')
    case 'refused':
      return refusal ?? new TusError('rejected')
    case 'evicted':
      return new TusError('locked', 'Another request for this upload took over; ask for the offset and go on')
    case 'closing':
      return new TusError('shutting_down')
    case 'idle':
      return new TusError('body_incomplete', 'No byte arrived for too long; ask for the offset and go on')
    case 'slow':
      return new TusError('body_incomplete', 'The bytes arrived too slowly; ask for the offset and go on')
    case 'disconnected':
      return new TusError('body_incomplete')
  }
}

/** A web stream as a source whose early end cancels it at once, even while a chunk is awaited. */
export function fromStream(stream: ReadableStream<Uint8Array> | null): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const reader = stream?.getReader()
      return {
        async next() {
          if (reader === undefined) return { done: true, value: undefined }
          const result = await reader.read()
          return result.done ? { done: true, value: undefined } : result
        },
        async return() {
          await reader?.cancel()
          return { done: true, value: undefined }
        },
      }
    },
  }
}
