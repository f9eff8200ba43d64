import { BodyRefused } from '../body/receive.ts'
import type { TusError } from '../errors.ts'
import { type BodyBlocks, bodyBlocks } from './body-blocks.ts'
import { type DirectReading, readDirectly } from './direct.ts'
import type { Incoming } from './platform.ts'

export interface BodyEvents {
  /** Called once, before the first byte is asked for. */
  readonly onStart: () => void
  /** Called for each chunk with its size in bytes. */
  readonly onChunk: (size: number) => void
  /**
   * Bodies with at least so many bytes to come are read past Node's parser where that is possible: only on connections
   * of our own server. Their chunks are to be given back when they are done with, see free.ts. @default none
   */
  readonly directFrom?: number | undefined
}

/** A body on its way from the client. */
export interface Body extends AsyncIterable<Uint8Array> {
  /** Takes no more of it: what has been read is handed over still, then it throws `BodyRefused`. */
  refuse(answer: TusError): void
  /** Reads nothing more for the moment; until it is called with false. */
  hold(isHeld: boolean): void
}

/** Bytes read ahead of whoever iterates. */
const readAhead = 256 * 1024
/** Chunks read ahead: a client may send its bytes one by one, each in a chunk of its own. */
const readAheadChunks = 512
/**
 * Bytes read directly before others have their turn: the system hands out more for as long as the client is fast, and
 * whoever writes them on this thread would keep everybody else waiting.
 */
const turnBytes = 1024 * 1024
/** Chunks of fewer bytes are handed over together: each costs as much as a large one from here on. */
const small = 4 * 1024

/**
 * The body of a request, to be iterated once. It ends when the client has sent everything and throws, after the bytes
 * that did arrive, when the connection breaks before that.
 *
 * Not `for await (const chunk of incoming)`: leaving that loop early destroys the socket and the answer with it. Not
 * `Readable.toWeb` either: it costs twice the time, and throws out of event handlers when a connection breaks.
 */
export function readBody(incoming: Incoming, events: BodyEvents): Body {
  let running: ReturnType<typeof iterate> | null = null
  return {
    [Symbol.asyncIterator]() {
      running = iterate(incoming, events)
      return running
    },
    refuse: (answer) => running?.refuse(answer),
    hold: (isHeld) => running?.hold(isHeld),
  }
}

/** Whether the request's headers announce a body. */
export function hasBody(incoming: Incoming): boolean {
  if ('stream' in incoming) return !incoming.stream.endAfterHeaders
  const { 'content-length': length, 'transfer-encoding': coding } = incoming.headers
  return coding !== undefined || (length !== undefined && length !== '0')
}

/** Whether all bytes of the body have arrived, read or not. */
export function isComplete(incoming: Incoming): boolean {
  if (!hasBody(incoming)) return true
  return 'stream' in incoming ? incoming.readableEnded : incoming.complete
}

function iterate(incoming: Incoming, events: BodyEvents): AsyncIterator<Uint8Array> & Pick<Body, 'refuse' | 'hold'> {
  const { directFrom = Infinity } = events
  const chunks: Uint8Array[] = []
  let queued = 0
  let held = false
  let started = false
  let ended = false
  let failure: Error | null = null
  let waiting: { resolve: (r: IteratorResult<Uint8Array>) => void; reject: (e: Error) => void } | null = null

  let direct: { readonly reading: DirectReading; readonly blocks: BodyBlocks; isPaused: boolean } | null = null
  /** Bytes read directly since others had their turn, and whether they have it now. */
  let turn = 0
  let isResting = false

  const deliver = (chunk: Uint8Array) => {
    if (waiting === null) {
      chunks.push(chunk)
      queued += chunk.byteLength
    } else {
      const { resolve } = waiting
      waiting = null
      resolve({ done: false, value: chunk })
    }
  }
  const onData = (chunk: Buffer) => {
    deliver(chunk)
    if (isFull()) pause()
    // Last: whoever refuses the rest of the body for it has it handed over all the same.
    events.onChunk(chunk.byteLength)
  }
  const finish = (error: Error | null) => {
    if (ended) return
    if (error !== null) keepLeftovers()
    stopReading(error)
  }
  const stopReading = (error: Error | null) => {
    direct?.blocks.end()
    ended = true
    failure = error
    detach()
    direct?.reading.release()
    const left = waiting
    waiting = null
    if (left !== null) answer(left)
  }
  const onEnd = () => finish(isBroken(incoming) ? broken() : null)
  const onError = (error: Error) => finish(error)
  const onClose = () => finish(broken())
  const detach = () => {
    incoming.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose)
  }
  /** What had arrived before the connection broke and was not handed over yet: it counts. */
  const keepLeftovers = () => {
    if (direct !== null || incoming.readableLength === 0) return
    const rest: unknown = incoming.read()
    if (rest instanceof Uint8Array) {
      chunks.push(rest)
      events.onChunk(rest.byteLength)
    }
  }
  const isFull = () => held || isResting || queued >= readAhead || chunks.length >= readAheadChunks
  const rest = () => {
    isResting = true
    setImmediate(() => {
      isResting = false
      turn = 0
      goOn()
    })
  }
  const answer = ({ resolve, reject }: NonNullable<typeof waiting>) => {
    const chunk = take(chunks)
    if (chunk !== undefined) {
      queued -= chunk.byteLength
      resolve({ done: false, value: chunk })
      goOn()
    } else if (failure !== null) {
      reject(failure)
    } else {
      resolve({ done: true, value: undefined })
    }
  }
  const isPaused = () => direct?.isPaused ?? incoming.isPaused()
  const pause = () => {
    if (direct === null) {
      incoming.pause()
    } else if (!direct.isPaused) {
      direct.isPaused = true
      direct.reading.pause()
    }
  }
  const resume = () => {
    if (direct !== null) direct.isPaused = false
    if (direct === null) incoming.resume()
    else direct.reading.resume()
  }
  const goOn = () => {
    if (!ended && !isFull() && isPaused()) resume()
  }
  /** Takes over from the parser, with what it has delivered already. */
  const startDirectly = () => {
    if (ended) return
    let left = bytesToCome(incoming)
    if ('stream' in incoming || left < directFrom) return startParsed()
    const blocks = bodyBlocks(deliver)
    const reading = readDirectly(incoming, left, (bytes) => {
      left -= bytes.byteLength
      turn += bytes.byteLength
      if (turn >= turnBytes && !isResting) rest()
      blocks.add(bytes)
      events.onChunk(bytes.byteLength)
      if (left === 0) finish(null)
      else if (!ended && isFull()) pause()
    })
    if (reading === null) {
      blocks.drop()
      return startParsed()
    }
    direct = { reading, blocks, isPaused: false }
    for (let chunk = read(incoming); chunk !== null; chunk = read(incoming)) onData(chunk)
    if (isFull()) pause()
    else reading.resume()
  }
  const startParsed = () => {
    incoming.on('data', onData)
    if (!held) incoming.resume()
  }
  const start = () => {
    started = true
    if (incoming.readableEnded) return finish(consumed())
    if (incoming.destroyed || isBroken(incoming)) return finish(broken())
    incoming.on('end', onEnd).on('error', onError).on('close', onClose)
    events.onStart()
    // The parser may be in the middle of what it has read: it shall deliver that first.
    if (bytesToCome(incoming) >= directFrom) setImmediate(startDirectly)
    else startParsed()
  }

  return {
    next() {
      return new Promise((resolve, reject) => {
        if (!started) start()
        if (chunks.length > 0 || ended) answer({ resolve, reject })
        else waiting = { resolve, reject }
      })
    },
    return() {
      if (started && !ended) {
        detach()
        direct?.blocks.drop()
        // What is left comes by way of the parser, as long as that has room for it.
        if (direct === null) incoming.pause()
        else direct.reading.release()
      }
      started = true
      ended = true
      failure = null
      chunks.length = 0
      waiting?.resolve({ done: true, value: undefined })
      waiting = null
      return Promise.resolve({ done: true, value: undefined })
    },
    refuse(answer) {
      if (!started || ended) return
      if (direct === null) incoming.pause()
      stopReading(new BodyRefused(answer))
    },
    hold(isHeld) {
      held = isHeld
      if (!started || ended) return
      if (held) pause()
      else goOn()
    },
  }
}

/** Bytes of a body that nobody has read yet, less what its stream has ready; 0 where they are not known. */
function bytesToCome(incoming: Incoming): number {
  if (incoming.readableDidRead) return 0
  return Number(incoming.headers['content-length'] ?? 0) - incoming.readableLength
}

function read(incoming: Incoming): Buffer | null {
  return incoming.read() as Buffer | null
}

/** Takes the first chunk, or all small ones at the start as one. There are few chunks, so taking them is cheap. */
function take(chunks: Uint8Array[]): Uint8Array | undefined {
  const end = chunks.findIndex(({ byteLength }) => byteLength >= small)
  const count = end < 0 ? chunks.length : end
  return count > 1 ? Buffer.concat(chunks.splice(0, count)) : chunks.shift()
}

/** The body of a request whose headers announce none. */
export const noBody: Body = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
  refuse() {},
  hold() {},
}

/** HTTP/2 ends the body of a stream that was reset just like that of one that was sent to its end. */
function isBroken(incoming: Incoming): boolean {
  if (!('stream' in incoming)) return incoming.errored !== null
  return incoming.aborted || incoming.stream.rstCode !== 0
}

function broken(): Error {
  return new Error('The connection broke before the body was complete')
}

function consumed(): Error {
  return new Error('The body has been read by something else, such as a body parser mounted before this handler')
}
