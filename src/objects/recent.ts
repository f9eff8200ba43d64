import { isPerRequest } from '../platform.ts'
import { type Engine, overtaken } from './engine.ts'
import type { ObjectUpload } from './record.ts'
import type { Tails } from './tails.ts'

/*
 * A client that sends an upload in pieces comes back in a moment, mostly to the process that took the last piece. That
 * one still knows the record it wrote then, version included, and goes on from it without reading it again.
 *
 * Meanwhile another process may have appended to the upload, completed, removed or swept it, or made a new one with its
 * id. All of these write or delete the record, so that none can go unnoticed as long as nothing comes of what is
 * remembered but by way of the record:
 *
 * - Every record is written on the condition that it still has the version that was remembered (`commit`). If not,
 *   nobody's bytes have changed: parts go into the multipart under numbers that this process has claimed and nobody
 *   else uses (claims.ts), or under names of their own (Azure, Google), and count only where a record names them; a tail
 *   lies in the record. What was sent in vain is freed with its multipart, by whoever completes or removes that, or by a
 *   sweep, or is gone after a week (a block at the name of a finished Azure blob).
 * - The finished object is made without a condition on the record. So before it is, and before an append that had
 *   nothing to write says where the upload stands, the record's version is asked for (`confirm`). Between that and the
 *   object lies less time than between a record that is read when a request comes and the object at its end.
 * - No refusal is told by what is remembered: upload/append.ts reads the record first.
 *
 * Hence age is no matter of safety. It only says for how long memory is worth it: between two pieces of a client that
 * has not lost its connection. One that has asks for the offset first.
 */

/** The records that this process itself wrote last. */
export interface Recent {
  /** Remembers a record that was written just now, unless it takes too much memory. */
  keep(upload: ObjectUpload): void
  /** What is remembered, and not any more then: one append begins with it. */
  take(id: string): ObjectUpload | null
  /** The record has been read, or is about to be replaced: what is remembered has to go if it is another one. */
  drop(id: string, but?: ObjectUpload | null): void
  /** Forgets what there is no memory for any more: the tails that running appends hold go first. */
  trim(): void
}

/** Milliseconds. A piece of megabytes may be read from a slow disk and hashed before it is sent. */
const longestMs = 60_000

/** Records of a few kilobytes: 20 MB. */
const most = 10_000

interface Kept {
  readonly upload: ObjectUpload
  readonly bytes: number
  readonly until: number
}

/** @param tails What is remembered counts as memory for tails. */
export function createRecent(tails: Tails, ms = longestMs): Recent {
  /** The oldest comes first. */
  const kept = new Map<string, Kept>()
  let used = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  const remove = (id: string): void => {
    used -= kept.get(id)?.bytes ?? 0
    kept.delete(id)
  }
  const trim = (): void => {
    const now = Date.now()
    for (const [id, { until }] of kept) {
      const fits = kept.size <= most && used + tails.held <= tails.most
      if (fits && until > now) return
      remove(id)
    }
  }

  /** What nobody has come back for goes though nobody else comes, either. A Worker's timers end with their request. */
  const watch = (): void => {
    if (timer !== undefined || kept.size === 0 || isPerRequest) return
    timer = setTimeout(() => {
      timer = undefined
      trim()
      watch()
    }, ms)
    // It keeps no process alive; not every runtime has timers that could.
    if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  }

  return {
    keep(upload) {
      remove(upload.id)
      // An append needs all of it.
      if (upload.rest?.tail.byteLength !== upload.tailBytes) return
      const bytes = bytesOf(upload)
      // One alone shall not drive out all others.
      if (bytes > tails.most / 2) return
      kept.set(upload.id, { upload: { ...upload, isRecalled: true }, bytes, until: Date.now() + ms })
      used += bytes
      trim()
      watch()
    },
    take(id) {
      const found = kept.get(id)
      remove(id)
      return found === undefined || found.until <= Date.now() ? null : found.upload
    },
    drop(id, but = null) {
      if (kept.get(id)?.upload.version !== but?.version) remove(id)
    },
    trim,
  }
}

/**
 * Makes sure of a record that was only remembered, before something is done on the strength of it other than writing it.
 * @throws StoreError `lock_lost` when it has another version by now, or is gone.
 */
export async function confirm<U extends ObjectUpload>(engine: Engine, upload: U): Promise<U> {
  if (upload.isRecalled !== true) return upload
  const found = await engine.calls.head(engine.keys.record(upload.id))
  if (found?.version !== upload.version) throw overtaken(engine, upload.id)
  return { ...upload, isRecalled: false }
}

/** More or less. */
function bytesOf({ rest, metadata, attributes }: ObjectUpload): number {
  const text = (metadata?.length ?? 0) + JSON.stringify(attributes).length
  return 2000 + 2 * text + 250 * (rest?.parts.length ?? 0) + (rest?.tail.byteLength ?? 0)
}
