import { StoreError, TusError } from '../errors.ts'
import type { AppendOptions } from '../store.ts'
import type { Gathering } from './append.ts'
import { putWhole } from './assemble.ts'
import type { Multipart } from './bucket.ts'
import { type Holder, lend, mostKeptMs, nullIfGivenUp } from './buffers.ts'
import { partNumbers } from './claims.ts'
import { commit, type Engine, lostMultipart, mayForget, multipartOf, restOf, takeBack, tooLong } from './engine.ts'
import { isUsedUp, largerBytes, leastBytes, mayBeShort, partBytes, type PlanState } from './plan.ts'
import { nothing, type ObjectUpload, type Rest, sizeOf, type StoredPart, unrecorded, upToGap } from './record.ts'
import { confirm } from './recent.ts'
import { recordWith } from './tails.ts'
import { createWaits } from './waits.ts'

/** Checkpoints without a new part, after which what has been gathered is recorded as a tail: a slow client. */
const tailEvery = 3

/** How often within a checkpoint's time it is looked whether the client has fallen silent. */
const looks = 5

/**
 * Gathers a body into parts, several on their way at once, and records at the end, and now and then before, how many
 * bytes without a gap are stored. An upload that is whole with this body is not recorded: whoever completes it does.
 */
export function gather(
  engine: Engine,
  found: ObjectUpload & { readonly rest: Rest },
  options: AppendOptions,
): Gathering {
  const { atomic = false, guard, onProgress } = options
  let before = found
  const { calls, limits, buffers, partSize } = engine
  const { length } = before
  /** The record as it is in the bucket. */
  let committed: ObjectUpload & { readonly rest: Rest } = before
  let { multipartId } = before
  /** Whether this append has written the record. */
  let hasRecorded = false
  let recordedTail = before.tailBytes
  /** The multipart that the record may name, since a write of it was tried: its parts must stay. */
  let named = before.multipartId
  /** In order; those still on their way are missing. */
  const parts: (StoredPart | undefined)[] = [...before.rest.parts]
  /** Bytes of all parts, those on their way included. */
  let inParts = sizeOf({ ...before.rest, tail: nothing.tail })
  /** Bytes behind the parts that lie in the record only, to go to the front of the next buffer. */
  let carried = before.tailBytes
  let buffer: Uint8Array<ArrayBuffer> | null = null
  let filled = 0
  let inFlight = 0
  let first = before.rest.parts[0]?.size ?? null
  let failure: { readonly error: unknown } | null = null
  const { until, wake } = createWaits(() => failure !== null && inFlight === 0)
  let bodyFailed = false
  /** Whether it was told to end while it waited for memory: what of the body came since then is not stored. */
  let gaveUp = false
  let interrupt: ((error: unknown) => void) | null = null
  /** Something that uses the buffer while the body is waited for. */
  let busy: Promise<void> | null = null
  /** What became of the multipart is found out once, whichever part meets it first. */
  let lost: Promise<never> | null = null
  /** The body has ended: what is left to do is done in its order, with nothing beside it. */
  let ending = false
  let ticks = 0
  let looked = 0
  /** Whether bytes have come since it was looked. */
  let moving = false
  let told = before.offset
  let bytesPerMs = 0
  const numbers = partNumbers(limits, partSize, engine.claims, before)
  /** Writes of the record, one after the other. */
  let writing: Promise<unknown> = Promise.resolve()
  const holder: Holder = {
    held: 0,
    since: 0,
    isStopped: options.isStopped,
    release: () => (busy === null ? aside(letGo) : void busy.then(() => aside(letGo))),
  }
  const timer = setInterval(() => aside(look), engine.checkpointMs / looks)

  /** Whether the found tail, of a body that may throw, is here should that have to be undone. */
  const canUndo = mayForget(options) || before.rest.tail.byteLength === before.tailBytes
  /** Whether what is new may be recorded. Without the tail only as long as the record keeps that. */
  const mayRecord = (): boolean => !atomic && (canUndo || parts.length === before.rest.parts.length)
  const planState = (): PlanState => ({ length, stored: inParts, used: numbers.used, first })
  const contiguous = (): StoredPart[] => upToGap(parts)
  const position = (): number => inParts + (buffer === null ? carried : filled)

  function broken(error: unknown): void {
    failure ??= { error }
    interrupt?.(error)
    wake()
  }

  /** Runs work beside the waiting for the body, one at a time; `add` and `end` wait for it. */
  function aside(work: () => Promise<void>): void {
    if (busy !== null || failure !== null || ending) return
    busy = work()
      .catch(broken)
      .finally(() => (busy = null))
  }

  /** A buffer for the next part, with what is carried over from the record at its front. */
  async function open(): Promise<Uint8Array<ArrayBuffer>> {
    await until(() => inFlight < engine.partConcurrency)
    assertFine()
    const state = planState()
    if (isUsedUp(limits, state)) {
      throw new StoreError('full', `${before.id} has ${state.used} parts, as many as ${engine.bucket.name} allows`)
    }
    const left = (length ?? Infinity) - inParts
    const planned = Math.min(partBytes(limits, partSize, state), left)
    const large = Math.min(largerBytes(limits, planned, inParts, bytesPerMs, engine.largestPart), left)
    const later = Math.min(largerBytes(limits, planned, Infinity, bytesPerMs, engine.largestPart), left)
    if (later > planned) {
      // For memory that the upload's own parts have; not while others are there, who may have it for long.
      await until(() => inFlight === 0 || !buffers.isAlone(holder) || buffers.hasAlone(later, holder))
      assertFine()
    }
    const wanted = Math.max(large > planned && buffers.hasAlone(large, holder) ? large : planned, carried)
    if (!buffers.has(wanted) && mayForget(options)) forgetTail()
    const least = Math.max(leastBytes(limits, partSize, state, planned), carried)
    const opened = await buffers.take(wanted, holder, least, later)
    try {
      if (carried > 0) {
        const isHere = committed.rest.tail.byteLength === carried
        const { tail } = isHere ? committed.rest : await restOf(engine, unread())
        opened.set(tail)
        forgetTail()
      }
    } catch (error) {
      buffers.give(opened, holder)
      throw error
    }
    filled = carried
    carried = 0
    holder.since = Date.now()
    return opened
  }

  /** The tail is in the record, or in a buffer; only an append that may have to be undone needs what it found. */
  function forgetTail(): void {
    committed = { ...committed, rest: { ...committed.rest, tail: nothing.tail } }
    if (mayForget(options)) before = { ...before, rest: { ...before.rest, tail: nothing.tail } }
  }

  /** Sends what is in the buffer as the next part; resolves when it is on its way. */
  async function send(): Promise<void> {
    if (buffer === null) return
    const own = buffer
    const bytes = own.subarray(0, filled)
    bytesPerMs = filled / Math.max(Date.now() - holder.since, 1)
    const index = parts.length
    buffer = null
    filled = 0
    holder.since = 0
    inParts += bytes.byteLength
    first ??= bytes.byteLength
    parts.length++
    inFlight++
    let number: number
    try {
      await guard?.()
      multipartId ??= await calls.createMultipart(engine.keys.data(before.id), engine.headersOf(before))
      if (!numbers.any) await claim(bytes)
      number = numbers.take()
    } catch (error) {
      buffers.forget(own, holder)
      landed()
      throw error
    }
    const into = multipartOf(engine, before, multipartId)
    void lend(buffers, own, holder, () => sendPart(into, index, number, bytes)).then(landed, (error: unknown) => {
      landed()
      broken(error)
    })
  }

  /** Claims numbers for the next parts, the first of which is `bytes`, with what the record has to say anyway. */
  async function claim(bytes: Uint8Array): Promise<void> {
    const kept = (): boolean => committed.rest.tail.byteLength === recordedTail
    const moved = (): boolean => mayRecord() && contiguous().length > committed.rest.parts.length
    // The recorded tail is at the front of the first new part: this one, or one on its way, which is then waited for.
    const isFirst = parts.length === committed.rest.parts.length + 1
    if (!isFirst && !kept() && mayRecord()) await until(() => moved() || failure !== null)
    assertFine()
    if (moved()) return record({ parts: contiguous(), tail: nothing.tail }, false)
    const held = isFirst ? bytes.subarray(0, recordedTail) : null
    const { tail } = kept() ? committed.rest : { tail: held ?? (await restOf(engine, unread())).tail }
    await record({ ...committed.rest, tail }, false)
    forgetTail()
  }

  async function sendPart(into: Multipart, index: number, number: number, bytes: Uint8Array): Promise<void> {
    const etag = await calls.putPart(into, number, bytes)
    if (etag === null) return (lost ??= lostMultipart(engine, committed))
    parts[index] = { number, size: bytes.byteLength, etag }
  }

  function landed(): void {
    inFlight--
    wake()
  }

  /** @param isLast Whether no part is to be sent after it. */
  function record(rest: Rest, isLast = ending): Promise<void> {
    const written = writing.then(() => recordNow(rest, isLast))
    writing = written.catch(() => {})
    return written
  }

  async function recordNow(rest: Rest, isLast: boolean): Promise<void> {
    await guard?.()
    const offset = sizeOf(rest)
    named = multipartId
    const present = committed
    const nextPart = numbers.planned(planState(), isLast)
    committed = { ...(await commit(engine, present, { offset, multipartId, nextPart }, rest)), rest }
    numbers.recorded(present, committed)
    hasRecorded = true
    recordedTail = rest.tail.byteLength
    ticks = 0
    if (!atomic && offset > told) onProgress?.(offset)
    told = Math.max(told, offset)
  }

  async function look(): Promise<void> {
    const isStill = !moving
    moving = false
    if (++looked % looks === 0) await checkpoint()
    else if (isStill) await recordAll()
  }

  /**
   * Who has fallen silent may have lost the connection, and be back at another server in a moment, which finds what is
   * recorded. Of one that is only slow, and silent again and again, not each time the whole tail.
   */
  async function recordAll(): Promise<void> {
    if (!mayRecord() || inFlight > 0) return
    if (isLarge()) {
      await send()
      await until(() => inFlight === 0)
      assertFine()
      if (!mayRecord()) return
    }
    const isNew = filled - recordedTail > recordedTail / 4
    if (contiguous().length === committed.rest.parts.length && (buffer === null || !isNew)) return
    await recordTail()
  }

  /** Records what is in the buffer, too, as it lies there: nobody changes it meanwhile. */
  async function recordTail(): Promise<void> {
    const tail = buffer?.subarray(0, filled) ?? nothing.tail
    await recordWith(engine.tails, tail.byteLength, () => record({ parts: contiguous(), tail }).then(forgetTail))
  }

  /** Records the parts that came to rest, or, of a client too slow to fill one, its bytes so far. */
  async function checkpoint(): Promise<void> {
    if (!mayRecord()) return
    const done = contiguous()
    ticks++
    if (done.length > committed.rest.parts.length) await record({ parts: done, tail: nothing.tail })
    else if (ticks >= tailEvery && inFlight === 0 && buffer !== null && filled > recordedTail) {
      await (isLarge() ? send() : recordTail())
    }
  }

  /** Whether what has gathered is worth a part: it was to be a larger one, and its client has become slow. */
  function isLarge(): boolean {
    return buffer !== null && filled > partBytes(limits, partSize, planState())
  }

  /** Others wait for memory: stores what is in the buffer and gives it back. */
  async function letGo(): Promise<void> {
    await until(() => inFlight === 0)
    if (buffer === null || failure !== null) return
    if (mayBeShort(limits, partSize, planState(), filled)) return send()
    if (!mayRecord()) {
      if (Date.now() - holder.since < mostKeptMs) return
      throw new TusError('body_incomplete', 'Too slow for a server that is short of memory; send the bytes again')
    }
    await record({ parts: contiguous(), tail: buffer.subarray(0, filled) })
    carried = filled
    buffers.give(buffer, holder)
    // Read again when the client goes on.
    forgetTail()
    buffer = null
    filled = 0
  }

  /** Nothing runs beside any more, and nothing is on its way. @param landing Else the last parts may be, if all is sent. */
  async function settle(landing = true): Promise<void> {
    ending = true
    while (busy !== null) await busy
    if (landing || buffer !== null || position() !== length) await until(() => inFlight === 0)
  }

  function assertFine(): void {
    if (failure !== null) throw failure.error
  }

  /** The upload as it is in the bucket, where the tail may be that this process has let go of. */
  const recorded = (): ObjectUpload => (carried === committed.rest.tail.byteLength ? committed : unread())
  const unread = (): ObjectUpload => ({ ...committed, rest: null })

  /** Whether the buffer is all there is of an upload that is whole: no multipart for that. */
  const isSingle = (): boolean => parts.length === 0 && filled === length && filled <= limits.maxPutBytes

  /** Right here, not by whoever completes the upload: the buffer counts until the storage has its bytes. */
  async function putSingle(own: Uint8Array<ArrayBuffer>): Promise<void> {
    buffer = null
    await guard?.()
    committed = await confirm(engine, committed)
    await putWhole(engine, committed, own.subarray(0, filled))
  }

  return {
    next: (iterator) =>
      new Promise((resolve, reject) => {
        interrupt = reject
        if (failure !== null) reject(failure.error)
        else {
          iterator.next().then(resolve, (error: unknown) => {
            bodyFailed = failure === null
            reject(error)
          })
        }
      }),

    async add(chunk) {
      if (length !== null && position() + chunk.byteLength > length) throw tooLong(before)
      moving = true
      for (let rest = chunk; rest.byteLength > 0;) {
        while (busy !== null) await busy
        assertFine()
        if (!gaveUp) buffer ??= await open().catch(nullIfGivenUp)
        if (buffer === null) return void (gaveUp = true)
        const count = Math.min(rest.byteLength, buffer.byteLength - filled)
        buffer.set(rest.subarray(0, count), filled)
        filled += count
        rest = rest.subarray(count)
        if (filled === buffer.byteLength && !isSingle()) await send()
      }
    },

    async end() {
      await settle(false)
      assertFine()
      if (gaveUp && atomic) throw new TusError('body_incomplete', 'Told to give way; send the bytes again')
      const offset = position()
      if (offset === before.offset || (buffer === null && carried > 0)) return recorded()
      if (buffer !== null && isSingle()) {
        const own = buffer
        await lend(buffers, own, holder, () => putSingle(own))
        onProgress?.(offset)
        return { ...committed, offset, stored: true, tailBytes: 0, rest: unrecorded }
      }
      const whole = offset === length
      if (whole || mayBeShort(limits, partSize, planState(), filled)) await send()
      const [present] = await Promise.all([whole ? confirm(engine, committed) : committed, settle()])
      assertFine()
      const done = contiguous()
      if (!whole) await record({ parts: done, tail: buffer?.slice(0, filled) ?? nothing.tail })
      if (whole || atomic) onProgress?.(offset)
      return whole
        ? {
            ...present,
            offset,
            multipartId,
            nextPart: Math.max(present.nextPart, numbers.used + 1),
            tailBytes: 0,
            rest: { parts: done, tail: nothing.tail },
          }
        : committed
    },

    async fail() {
      broken(null)
      await settle()
      try {
        const done = contiguous()
        if (bodyFailed || atomic) {
          // Should a body throw that was not to, what is recorded stays. Named is what is not aborted below.
          if (hasRecorded && !mayForget(options)) await takeBack(engine, committed, before, named)
        } else if (done.length > committed.rest.parts.length) await record({ parts: done, tail: nothing.tail })
        if (multipartId !== null && multipartId !== named) {
          await calls.abort(multipartOf(engine, before, multipartId))
        }
      } catch {
        // What made it fail is what counts; a record that cannot be written stays at its last state.
      }
    },

    close() {
      clearInterval(timer)
      if (buffer !== null) buffers.give(buffer, holder)
      buffer = null
    },
  }
}
