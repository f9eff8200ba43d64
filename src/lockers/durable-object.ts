import { StoreError } from '../errors.ts'
import type { Lock, Locker } from '../locker.ts'
import { longestTimerMs } from '../platform.ts'

/**
 * What is used of a Durable Object's binding, by shape: `DurableObjectNamespace` of @cloudflare/workers-types, or of
 * `wrangler types`, fits without either being needed.
 */
export interface LockNamespace {
  /** As `DurableObjectNamespace.idFromName`. */
  idFromName(name: string): unknown
  /** As `DurableObjectNamespace.get`. */
  get(id: unknown): LockStub
}

/** What is used of `DurableObjectStub`. */
export interface LockStub {
  /** As `DurableObjectStub.fetch`. */
  fetch(url: string, init: { headers: Record<string, string> }): Promise<LockAnswer>
}

/** What is used of an answer of a Durable Object. */
export interface LockAnswer {
  /** As `Response.status`. */
  readonly status: number
  /** As `Response.webSocket` in a Worker. */
  readonly webSocket?: LockSocket | null
}

/** What is used of a Worker's `WebSocket`. */
export interface LockSocket {
  /** As `WebSocket.accept` in a Worker. */
  accept(): void
  /** As `WebSocket.send`. */
  send(message: string): void
  /** As `WebSocket.close`. */
  close(code?: number, reason?: string): void
  /** As `WebSocket.addEventListener`. */
  addEventListener(type: 'message' | 'close' | 'error', listener: (event: LockEvent) => void): void
}

/** What is used of an event of a Worker's `WebSocket`. */
export interface LockEvent {
  /** As `Event.type`. */
  readonly type: string
  /** As `MessageEvent.data`. */
  readonly data?: unknown
}

/** How a lock is kept. */
export interface DurableObjectLockerOptions {
  /**
   * After how many milliseconds without a sign of life a holder has lost its lock. One whose connection breaks off has
   * lost it at once. From 100 to 2^31 - 1.
   * @default 15000
   */
  readonly leaseMs?: number
}

/**
 * Locks for all isolates of a Worker, each in a Durable Object of its own, an `UploadLock` by the upload's id. Whoever
 * has a lock or waits for one is connected to it by a WebSocket; the object keeps nothing but these connections.
 *
 * A lock costs a request to the object, and the object's time for as long as it is held; a HEAD costs two requests.
 * When the object is moved or deployed anew, locks are lost: `guard` tells it, and who had one starts the request again.
 *
 * @example
 * export { UploadLock } from 'fileloft/lockers/durable-object'
 * const handler = createTusHandler({ path: '/files', store, locker: durableObjectLocker(env.LOCKS) })
 */
export function durableObjectLocker(
  namespace: LockNamespace,
  { leaseMs = 15_000 }: DurableObjectLockerOptions = {},
): Required<Locker> {
  if (typeof namespace?.idFromName !== 'function') throw new TypeError('durableObjectLocker: no such binding')
  if (typeof leaseMs !== 'number' || !(leaseMs >= leastLeaseMs && leaseMs <= longestTimerMs)) {
    throw new TypeError(`durableObjectLocker: leaseMs must be from ${leastLeaseMs} to ${longestTimerMs}: ${leaseMs}`)
  }

  async function ask(id: string, how: 'look' | 'try' | 'wait'): Promise<LockAnswer> {
    const headers: Record<string, string> = how === 'look' ? {} : { Upgrade: 'websocket' }
    const answer = await namespace
      .get(namespace.idFromName(id))
      .fetch(`https://lock/${how}?lease=${leaseMs}`, { headers })
      .catch((cause: unknown) => {
        throw new StoreError('unavailable', 'The Durable Object of a lock does not answer', { cause })
      })
    if (answer.webSocket || answer.status === free || answer.status === taken) return answer
    throw new StoreError('unavailable', `The Durable Object of a lock answered ${answer.status}`)
  }

  return {
    isFree: async (id) => (await ask(id, 'look')).status === free,

    async tryAcquire(id) {
      const { webSocket } = await ask(id, 'try')
      return webSocket ? hold(webSocket, leaseMs, undefined) : null
    },

    acquire(id, { signal, onContention }) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted()
        const asked = ask(id, 'wait')
        const abort = (): void => {
          reject(signal.reason as Error)
          asked.then(({ webSocket }) => webSocket?.close(), ignore)
        }
        signal.addEventListener('abort', abort, { once: true })
        asked
          .then(({ webSocket }) => hold(webSocket as LockSocket, leaseMs, onContention))
          .finally(() => signal.removeEventListener('abort', abort))
          .then(resolve, reject)
      })
    },
  }
}

const [free, taken] = [204, 423]
const leastLeaseMs = 100

/** Waits on a connection for the lock. */
function hold(socket: LockSocket, leaseMs: number, onContention: (() => void) | undefined): Promise<Lock> {
  const had = Promise.withResolvers<Lock>()
  const closed = Promise.withResolvers<void>()
  let ask = onContention
  /** Until when it is certain that nobody else has the lock. */
  let until = 0
  let timer: ReturnType<typeof setInterval> | undefined

  const disturb = (): void => {
    const asking = ask
    ask = undefined
    asking?.()
  }
  const beat = (): void => {
    // Whoever has lost the lock had better end than wait for bytes that it cannot store.
    if (Date.now() >= until) disturb()
    tell(socket, String(Date.now()))
  }
  const end = (): void => {
    clearInterval(timer)
    until = 0
    disturb()
    closed.resolve()
    had.reject(new StoreError('unavailable', 'The Durable Object of a lock has closed the connection'))
  }
  const release = async (): Promise<void> => {
    clearInterval(timer)
    until = 0
    ask = undefined
    close(socket)
    // Until the object knows, so that the next one finds the lock free.
    const late = setTimeout(closed.resolve, 1000)
    await closed.promise
    clearTimeout(late)
  }
  const guard = (): void => {
    if (Date.now() >= until) throw new StoreError('lock_lost', 'The Durable Object has given the lock to somebody else')
  }

  socket.addEventListener('message', ({ data }) => {
    if (data === 'asked') disturb()
    else if (data === 'yours') {
      // The object counts from when it sent this: half of the lease is for the way here.
      until = Date.now() + leaseMs / 2
      timer = setInterval(beat, leaseMs / 4)
      beat()
      had.resolve({ guard, release })
    } else if (until > 0) until = Number(data) + leaseMs
  })
  socket.addEventListener('close', end)
  socket.addEventListener('error', end)
  socket.accept()
  return had.promise
}

/**
 * The Durable Object that keeps one upload's lock, to be exported by the Worker under the name that its configuration
 * has as `class_name`. A class because that is what the runtime makes objects of.
 */
export class UploadLock {
  /** Who has the lock, and who waits for it in order of arrival. */
  readonly #queue: Party[] = []

  /** Answers `durableObjectLocker`, nobody else. */
  fetch(request: Request): Response {
    const { pathname, searchParams } = new URL(request.url)
    const isFree = this.#queue.length === 0
    if (pathname === '/look' || (pathname === '/try' && !isFree)) {
      return new Response(null, { status: isFree ? free : taken })
    }
    const { 0: theirs, 1: socket } = new (globalThis as unknown as Runtime).WebSocketPair()
    const party: Party = { socket, leaseMs: Number(searchParams.get('lease')), isAsked: false, timer: undefined }
    const leave = (): void => this.#leave(party)
    socket.addEventListener('message', ({ data }) => {
      if (this.#queue[0] !== party) return
      this.#renew(party)
      tell(socket, String(data))
    })
    socket.addEventListener('close', leave)
    socket.addEventListener('error', leave)
    socket.accept()
    this.#queue.push(party)
    if (isFree) this.#grant(party)
    else this.#disturb()
    return new Response(null, { status: 101, webSocket: theirs } as ResponseInit)
  }

  #grant(party: Party): void {
    this.#renew(party)
    tell(party.socket, 'yours')
    if (this.#queue.length > 1) this.#disturb()
  }

  #disturb(): void {
    const [holder] = this.#queue
    if (holder === undefined || holder.isAsked) return
    holder.isAsked = true
    tell(holder.socket, 'asked')
  }

  #renew(party: Party): void {
    clearTimeout(party.timer)
    party.timer = setTimeout(() => this.#leave(party), party.leaseMs)
  }

  #leave(party: Party): void {
    clearTimeout(party.timer)
    close(party.socket)
    const at = this.#queue.indexOf(party)
    if (at < 0) return
    this.#queue.splice(at, 1)
    const [next] = this.#queue
    if (at === 0 && next !== undefined) this.#grant(next)
  }
}

interface Party {
  readonly socket: LockSocket
  readonly leaseMs: number
  /** Whether it has been asked to give way. */
  isAsked: boolean
  timer: ReturnType<typeof setTimeout> | undefined
}

/** What Workers have beside web standards. */
interface Runtime {
  readonly WebSocketPair: new () => { readonly 0: LockSocket; readonly 1: LockSocket }
}

/** Whoever is gone by now is told of by the close of its connection. */
function tell(socket: LockSocket, message: string): void {
  try {
    socket.send(message)
  } catch {
    // It is closed, or about to be.
  }
}

/** Closes a connection that may be closed already. */
function close(socket: LockSocket): void {
  try {
    socket.close(1000)
  } catch {
    // It is.
  }
}

function ignore(): void {}
