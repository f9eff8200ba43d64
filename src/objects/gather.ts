import { StoreError, TusError } from '../errors.ts'
import type { AppendOptions } from '../store.ts'
import type { Gathering } from './append.ts'
import { putWhole } from './assemble.ts'
import { type Holder, mostKeptMs, nullIfGivenUp } from './buffers.ts'
import { commit, type Engine, mayForget, multipartOf, restOf, takeBack, tooLong } from './engine.ts'
import { fill, type Filling } from './filling.ts'
import { outgoing, type Streamed } from './outgoing.ts'
import { isScarce, isUsedUp, largerBytes, leastBytes, mayBeShort, partBytes, streamedBytes } from './plan.ts'
import { nothing, type ObjectUpload, type Rest, sizeOf, unrecorded } from './record.ts'
import { recordWith } from './tails.ts'

/** Checkpoints without a new part, after which what has been gathered is recorded as a tail: a slow client. */
const tailEvery = 3

/** How often within a checkpoint's time it is looked whether the client has fallen silent. */
const looks = 5

/** Milliseconds that a part on its way waits for memory: before the storage gives its connection up (S3: 20 s). */
const mostHeldUpMs = 10_000

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
  /** Where the body ends, if its sender goes on. */
  const ends = options.contentLength === undefined ? null : before.offset + options.contentLength
  const mayStream = calls.streamPart !== null && ends !== null && !limits.uniformParts
  /** The record as it is in the bucket. */
  let committed: ObjectUpload & { readonly rest: Rest } = before
  /** Whether this append has written the record. */
  let hasRecorded = false
  let recordedTail = before.tailBytes
  /** The multipart that the record may name, since a write of it was tried: its parts must stay. */
  let named = before.multipartId
  /** Bytes behind the parts that lie in the record only, to go to the front of the next buffer. */
  let carried = before.tailBytes
  /** The part that is being filled, and how it is on its way meanwhile, if it is. */
  let part: Filling | null = null
  let streamed: Streamed | null = null
  /** Since when it cannot be filled any further before there is memory, in milliseconds; 0 = it can. */
  let heldUp = 0
  let bodyFailed = false
  /** Whether it was told to end while it waited for memory: what of the body came since then is not stored. */
  let gaveUp = false
  let interrupt: ((error: unknown) => void) | null = null
  /** Something that uses the part while the body is waited for. */
  let busy: Promise<void> | null = null
  /** The body has ended: what is left to do is done in its order, with nothing beside it. */
  let ending = false
  let ticks = 0
  let looked = 0
  /** Whether bytes have come since it was looked. */
  let moving = false
  let told = before.offset
  let bytesPerMs = 0
  const out = outgoing(engine, {
    upload: { ...before, rest: null },
    found: before.rest.parts,
    guard,
    committed: () => committed,
    claim,
    onBroken: (error) => interrupt?.(error),
  })
  const { until, assertFine, contiguous, planState, numbers } = out
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
  const mayRecord = (): boolean => !atomic && (canUndo || out.count === before.rest.parts.length)
  const position = (): number => out.bytes + (part === null ? carried : part.filled)

  /** Runs work beside the waiting for the body, one at a time; `add` and `end` wait for it. */
  function aside(work: () => Promise<void>): void {
    if (busy !== null || out.hasFailed || ending) return
    busy = work()
      .catch(out.broken)
      .finally(() => (busy = null))
  }

  /** A buffer for the next part, with what is carried over from the record at its front. */
  async function open(): Promise<Filling> {
    await until(() => out.inFlight < engine.partConcurrency)
    assertFine()
    const state = planState()
    if (isUsedUp(limits, state)) {
      throw new StoreError('full', `${before.id} has ${state.used} parts, as many as ${engine.bucket.name} allows`)
    }
    const left = (length ?? Infinity) - out.bytes
    const planned = Math.min(partBytes(limits, partSize, state), left)
    const grown = (stored: number) =>
      mayStream ? planned : Math.min(largerBytes(limits, planned, stored, bytesPerMs, engine.largestPart), left)
    const large = grown(out.bytes)
    const later = grown(Infinity)
    // For memory that the upload's own parts have; not while others are there, who may have it for long.
    if (mayStream || later > planned) await ownMemory(later)
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
    const filling = fill(buffers, holder, opened, carried)
    carried = 0
    return filling
  }

  /** Waits until this upload may have so many bytes more since it is alone, as long as its own parts can free some. */
  async function ownMemory(bytes: number): Promise<boolean> {
    const isLate = () => heldUp > 0 && Date.now() - heldUp > mostHeldUpMs
    await until(() => out.inFlight === 0 || !buffers.isAlone(holder) || buffers.hasAlone(bytes, holder) || isLate())
    assertFine()
    return buffers.hasAlone(bytes, holder)
  }

  /** Another buffer for the part, which is on its way meanwhile; false where it has to do with what it has. */
  async function grow(own: Filling): Promise<boolean> {
    const state = planState()
    const { step, filled, since } = own
    if (!mayStream || step !== partBytes(limits, partSize, state) || isScarce(limits, partSize, state)) return false
    const rate = filled / Math.max(Date.now() - since, 1)
    const size = streamed?.size ?? streamedBytes(limits, step, (ends ?? 0) - out.bytes, rate, engine.largestStreamed)
    if (size <= filled) return false
    heldUp = Date.now()
    try {
      streamed ??= await out.stream(own, size)
      if (!(await ownMemory(step))) return false
      own.grow(await buffers.take(step, holder))
      return true
    } finally {
      heldUp = 0
    }
  }

  /** A part is on its way only as long as its bytes come. One that is full is about to be finished. */
  function giveUpStream(): void {
    if (streamed === null || streamed.size === part?.filled) return
    streamed.giveUp()
    streamed = null
  }

  /** The tail is in the record, or in a buffer; only an append that may have to be undone needs what it found. */
  function forgetTail(): void {
    committed = { ...committed, rest: { ...committed.rest, tail: nothing.tail } }
    if (mayForget(options)) before = { ...before, rest: { ...before.rest, tail: nothing.tail } }
  }

  /** Sends what has been gathered as the next part; resolves when it is on its way. */
  async function send(): Promise<void> {
    if (part === null) return
    const own = part
    const stream = streamed
    bytesPerMs = own.filled / Math.max(Date.now() - own.since, 1)
    part = null
    streamed = null
    holder.since = 0
    if (stream?.size === own.filled) return stream.finish()
    stream?.giveUp()
    await out.send(own)
  }

  /** Claims numbers for the next parts, the first of which is `own`, with what the record has to say anyway. */
  async function claim(own: Filling, index: number): Promise<void> {
    const kept = (): boolean => committed.rest.tail.byteLength === recordedTail
    const moved = (): boolean => mayRecord() && contiguous().length > committed.rest.parts.length
    // The recorded tail is at the front of the first new part: this one, or one on its way, which is then waited for.
    const isFirst = index === committed.rest.parts.length
    if (!isFirst && !kept() && mayRecord()) await until(() => moved() || out.hasFailed)
    assertFine()
    if (moved()) return record({ parts: contiguous(), tail: nothing.tail }, false)
    const held = isFirst ? own.front(recordedTail) : null
    const { tail } = kept() ? committed.rest : { tail: held ?? (await restOf(engine, unread())).tail }
    await record({ ...committed.rest, tail }, false)
    forgetTail()
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
    const { multipartId } = out
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
    // Whoever waits looks at the time.
    out.wake()
    if (++looked % looks === 0) await checkpoint()
    else if (isStill) await recordAll()
  }

  /**
   * Who has fallen silent may have lost the connection, and be back at another server in a moment, which finds what is
   * recorded. Of one that is only slow, and silent again and again, not each time the whole tail.
   */
  async function recordAll(): Promise<void> {
    if (heldUp > 0) return
    giveUpStream()
    if (!mayRecord() || out.inFlight > 0) return
    if (isLarge()) {
      await send()
      await until(() => out.inFlight === 0)
      assertFine()
      if (!mayRecord()) return
    }
    const isNew = part !== null && part.filled - recordedTail > recordedTail / 4
    if (contiguous().length === committed.rest.parts.length && !isNew) return
    await recordTail()
  }

  /** What has been gathered and is no part. It lies there as it is: nobody changes it meanwhile. */
  const tailNow = (): Uint8Array => part?.front(part.filled) ?? nothing.tail

  /** Records what has been gathered, too. */
  async function recordTail(): Promise<void> {
    const tail = tailNow()
    await recordWith(engine.tails, tail.byteLength, () => record({ parts: contiguous(), tail }).then(forgetTail))
  }

  /** Records the parts that came to rest, or, of a client too slow to fill one, its bytes so far. */
  async function checkpoint(): Promise<void> {
    if (!mayRecord()) return
    const done = contiguous()
    ticks++
    if (done.length > committed.rest.parts.length) await record({ parts: done, tail: nothing.tail })
    else if (ticks >= tailEvery && out.inFlight === 0 && heldUp === 0 && part !== null && part.filled > recordedTail) {
      giveUpStream()
      await (isLarge() ? send() : recordTail())
    }
  }

  /** Whether what has gathered is worth a part: it was to be a larger one, and its client has become slow. */
  function isLarge(): boolean {
    return part !== null && part.filled > partBytes(limits, partSize, planState())
  }

  /** Others wait for memory: stores what has been gathered and gives its buffers back. */
  async function letGo(): Promise<void> {
    if (heldUp > 0) return
    giveUpStream()
    await until(() => out.inFlight === 0)
    if (part === null || out.hasFailed) return
    if (mayBeShort(limits, partSize, planState(), part.filled)) return send()
    if (!mayRecord()) {
      if (Date.now() - holder.since < mostKeptMs) return
      throw new TusError('body_incomplete', 'Too slow for a server that is short of memory; send the bytes again')
    }
    await record({ parts: contiguous(), tail: tailNow() })
    carried = part.filled
    part.give()
    // Read again when the client goes on.
    forgetTail()
    part = null
  }

  /** Nothing runs beside any more, and nothing is on its way. */
  async function settle(): Promise<void> {
    ending = true
    while (busy !== null) await busy
    giveUpStream()
    await until(() => out.inFlight === 0)
  }

  /** The upload as it is in the bucket, where the tail may be that this process has let go of. */
  const recorded = (): ObjectUpload => (carried === committed.rest.tail.byteLength ? committed : unread())
  const unread = (): ObjectUpload => ({ ...committed, rest: null })

  /** Whether this is all there is of an upload that is whole: no multipart for that. */
  const isSingle = ({ filled, step }: Filling): boolean =>
    out.count === 0 && filled === length && filled <= Math.min(step, limits.maxPutBytes)

  /** Right here, not by whoever completes the upload: the buffer counts until the storage has its bytes. */
  async function putSingle(own: Filling): Promise<void> {
    part = null
    try {
      await guard?.()
      await putWhole(engine, committed, own.front(own.filled))
      own.give()
    } finally {
      // After a failure some connection may still read from it: nobody gets it then.
      own.forget()
    }
  }

  return {
    next: (iterator) =>
      new Promise((resolve, reject) => {
        interrupt = reject
        out.assertFine()
        iterator.next().then(resolve, (error: unknown) => {
          bodyFailed = !out.hasFailed
          reject(error)
        })
      }),

    async add(chunk) {
      if (length !== null && position() + chunk.byteLength > length) throw tooLong(before)
      moving = true
      for (let rest = chunk; rest.byteLength > 0;) {
        while (busy !== null) await busy
        assertFine()
        if (!gaveUp) part ??= await open().catch(nullIfGivenUp)
        if (part === null) return void (gaveUp = true)
        rest = rest.subarray(part.add(rest, streamed?.size))
        streamed?.more()
        const isFull = part.filled === part.capacity || part.filled === streamed?.size
        if (isFull && !isSingle(part) && !(await grow(part))) await send()
      }
    },

    async end() {
      await settle()
      assertFine()
      if (gaveUp && atomic) throw new TusError('body_incomplete', 'Told to give way; send the bytes again')
      const offset = position()
      if (offset === before.offset || (part === null && carried > 0)) return recorded()
      if (part !== null && isSingle(part)) {
        await putSingle(part)
        onProgress?.(offset)
        return { ...committed, offset, stored: true, tailBytes: 0, rest: unrecorded }
      }
      const whole = offset === length
      if (whole || mayBeShort(limits, partSize, planState(), part?.filled ?? 0)) await send()
      await settle()
      assertFine()
      if (!whole) await record({ parts: contiguous(), tail: tailNow().slice() })
      if (whole || atomic) onProgress?.(offset)
      return whole ? out.whole(committed) : committed
    },

    async fail() {
      out.broken(null)
      await settle()
      try {
        const done = contiguous()
        if (bodyFailed || atomic) {
          // Should a body throw that was not to, what is recorded stays. Named is what is not aborted below.
          if (hasRecorded && !mayForget(options)) await takeBack(engine, committed, before, named)
        } else if (done.length > committed.rest.parts.length) await record({ parts: done, tail: nothing.tail })
        const { multipartId } = out
        if (multipartId !== null && multipartId !== named) {
          await calls.abort(multipartOf(engine, before, multipartId))
        }
      } catch {
        // What made it fail is what counts; a record that cannot be written stays at its last state.
      }
    },

    close() {
      clearInterval(timer)
      streamed?.giveUp()
      part?.give()
      part = null
    },
  }
}
