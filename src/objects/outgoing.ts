import { partNumbers, type PartNumbers } from './claims.ts'
import { type Engine, lostMultipart, multipartOf } from './engine.ts'
import type { Multipart } from './bucket.ts'
import type { Filling } from './filling.ts'
import type { PlanState } from './plan.ts'
import { nothing, type ObjectUpload, type Rest, sizeOf, type StoredPart, upToGap } from './record.ts'
import { type StreamedBody, streamedBody } from './streamed.ts'
import { createWaits, type Waits } from './waits.ts'

/** The parts of one append on their way to the storage. */
export interface Outgoing extends Pick<Waits, 'until' | 'wake'> {
  /** How many there are, those on their way included. */
  readonly count: number
  /** Bytes of all parts, those on their way included. */
  readonly bytes: number
  /** Parts that are complete here and on their way. */
  readonly inFlight: number
  /** What they are parts of, once there is one. */
  readonly multipartId: string | null
  readonly numbers: PartNumbers
  readonly hasFailed: boolean
  /** Those that are stored without a gap. */
  readonly contiguous: () => StoredPart[]
  readonly planState: () => PlanState
  /** The upload with nothing but these parts, all of which are stored. */
  readonly whole: (committed: ObjectUpload) => ObjectUpload
  /** Sends a part; resolves when it is on its way. */
  readonly send: (part: Filling) => Promise<void>
  /** Begins to send a part that has this many bytes in the end, of which some are there. It gets no other buffers. */
  readonly stream: (part: Filling, size: number) => Promise<Streamed>
  /** The append fails with this, unless it has failed already; whoever waits for the body hears of it. */
  readonly broken: (error: unknown) => void
  /** @throws what it failed with. */
  readonly assertFine: () => void
}

/** A part that is on its way while it is filled. It does not count before it is finished. */
export interface Streamed {
  readonly size: number
  /** More bytes are in. */
  readonly more: () => void
  /** All are in. */
  readonly finish: () => void
  /** They will not all come, or not soon. The part is one that is being filled as any other. */
  readonly giveUp: () => void
}

export interface OutgoingOptions {
  /** As it was found, without where its bytes are: that would hold the tail. */
  readonly upload: ObjectUpload & { readonly rest: null }
  /** The parts that it had then. */
  readonly found: readonly StoredPart[]
  readonly guard: (() => void | Promise<void>) | undefined
  /** The record as it is in the bucket. */
  readonly committed: () => ObjectUpload & { readonly rest: Rest }
  /** Claims numbers for the next parts, of which `part` is the first, as the one with this index. */
  readonly claim: (part: Filling, index: number) => Promise<void>
  readonly onBroken: (error: unknown) => void
}

export function outgoing(engine: Engine, options: OutgoingOptions): Outgoing {
  const { upload, found, guard, committed, claim, onBroken } = options
  const { calls, limits, partSize } = engine
  const { id, length } = upload
  let { multipartId } = upload
  /** In order; those still on their way are missing. */
  const parts: (StoredPart | undefined)[] = [...found]
  let bytes = sizeOf({ parts: found, tail: nothing.tail })
  let first = found[0]?.size ?? null
  let inFlight = 0
  let failure: { readonly error: unknown } | null = null
  /** What became of the multipart is found out once, whichever part meets it first. */
  let lost: Promise<never> | null = null
  const { until, wake } = createWaits(() => failure !== null && inFlight === 0)
  const numbers = partNumbers(limits, partSize, engine.claims, upload)

  function broken(error: unknown): void {
    failure ??= { error }
    onBroken(error)
    wake()
  }

  /** A place for one more part, to be sent now. */
  async function place(part: Filling, index: number): Promise<{ readonly into: Multipart; readonly number: number }> {
    await guard?.()
    multipartId ??= await calls.createMultipart(engine.keys.data(id), engine.headersOf(upload))
    if (!numbers.any) await claim(part, index)
    return { into: multipartOf(engine, upload, multipartId), number: numbers.take() }
  }

  async function put(into: Multipart, number: number, body: Uint8Array | StreamedBody): Promise<string> {
    const etag = await ('pieces' in body ? calls.streamPart?.(into, number, body) : calls.putPart(into, number, body))
    return etag ?? (lost ??= lostMultipart(engine, committed()))
  }

  /** From here on it counts. @returns its index. */
  function count(size: number): number {
    bytes += size
    first ??= size
    inFlight++
    return parts.push(undefined) - 1
  }

  function landed(): void {
    inFlight--
    wake()
  }

  /** After a failure some connection may still read from its buffers: nobody gets those then. */
  function follow(part: Filling, index: number, number: number, size: number, stored: Promise<string>): void {
    const put = (etag: string) => {
      parts[index] = { number, size, etag }
      part.give()
    }
    const fail = (error: unknown) => {
      part.forget()
      return { error }
    }
    void stored.then(put, fail).then((failed) => {
      landed()
      if (failed !== undefined) broken(failed.error)
    })
  }

  return {
    get count() {
      return parts.length
    },
    get bytes() {
      return bytes
    },
    get inFlight() {
      return inFlight
    },
    get multipartId() {
      return multipartId
    },
    get hasFailed() {
      return failure !== null
    },
    numbers,
    contiguous: () => upToGap(parts),
    planState: () => ({ length, stored: bytes, used: numbers.used, first }),
    whole: (upload) => ({
      ...upload,
      offset: bytes,
      multipartId,
      nextPart: Math.max(upload.nextPart, numbers.used + 1),
      tailBytes: 0,
      rest: { parts: upToGap(parts), tail: nothing.tail },
    }),
    until,
    wake,
    broken,
    assertFine() {
      if (failure !== null) throw failure.error
    },

    async send(part) {
      const size = part.filled
      const index = count(size)
      try {
        const { into, number } = await place(part, index)
        const body = size <= part.step ? part.front(size) : streamedBody(part, size)
        follow(part, index, number, size, put(into, number, body))
      } catch (error) {
        part.forget()
        landed()
        throw error
      }
    },

    async stream(part, size) {
      const { into, number } = await place(part, parts.length)
      const body = streamedBody(part, size)
      const stored = put(into, number, body)
      stored.catch((error: unknown) => {
        if (!body.signal.aborted) broken(error)
      })
      return {
        size,
        more: body.more,
        finish() {
          body.more()
          follow(part, count(size), number, size, stored)
        },
        giveUp() {
          body.giveUp()
          // Nothing that lacks bytes is ever stored.
          numbers.giveBack(number)
        },
      }
    },
  }
}
