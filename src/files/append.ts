import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import type { AppendOptions } from '../store.ts'
import { giveBack } from './blocks.ts'
import type { Directory } from './directory.ts'
import { type Gatherer, gatherer } from './gather.ts'
import { close, dataSync, isMissing, storeError, syncedWrites, truncate, write } from './io.ts'
import { mayWriteHere, writeHere } from './quick.ts'
import type { FileUpload } from './record.ts'
import { vectorWriter, type VectorWriter } from './vectors.ts'

/** An append longer than this closes its file in the thread pool: a network file system flushes it there. */
const quickClose = 256 * 1024

/** An atomic append up to this is held in memory until its body has ended: it needs no mark in the record. */
const heldBytes = 1 << 20

/**
 * Writes a body from the upload's offset on. The new offset needs no record: it is the size of the file. Nothing is
 * opened before the first byte, so an empty body costs and changes nothing.
 * @param onSettled Told of the upload that is returned when all its bytes are in the file, nothing is behind them, and
 * they are on the disk as far as `sync` wants it.
 */
export async function appendBody(
  directory: Directory,
  upload: FileUpload,
  body: AsyncIterable<Uint8Array>,
  options: AppendOptions,
  onSettled: (upload: FileUpload) => void,
): Promise<FileUpload> {
  const target = openTarget(directory, upload, options, onSettled)
  try {
    try {
      for await (const chunk of body) {
        if (chunk.length === 0) continue
        const wait = target.push(chunk)
        if (wait !== undefined) await wait
      }
    } catch (error) {
      // Either the disk threw, and what was written stays; or the body did, and nothing of it may stay.
      if (error instanceof TargetError) throw error
      await target.undo()
      throw error
    }
    return await target.end()
  } catch (error) {
    if (!(error instanceof TargetError)) throw error
    if (options.atomic === true) await target.undo().catch(() => undefined)
    throw failure(error.cause, directory, upload)
  } finally {
    await target.close()
  }
}

/** Wraps what went wrong on the storage's side, to tell it from what the body threw. */
class TargetError extends Error {
  constructor(cause: unknown) {
    super('append', { cause })
  }
}

interface Target {
  push(chunk: Uint8Array): Promise<void> | undefined
  end(): Promise<FileUpload>
  undo(): Promise<void>
  close(): Promise<void>
}

function openTarget(
  directory: Directory,
  upload: FileUpload,
  options: AppendOptions,
  onSettled: (upload: FileUpload) => void,
): Target {
  const start = upload.offset
  const atomic = options.atomic === true
  const isAlways = directory.sync === 'always'
  let fd: number | undefined
  /** Whether the file is as `upload` says, and open for what comes. */
  let isReady = false
  /** First byte that `writer` is not to write, or has not written. */
  let position = start
  let writer: VectorWriter | undefined
  /** Of an atomic append: what came before it is known whether it fits into memory. */
  const held = atomic ? gatherer(options.freeChunk) : undefined
  let marked = false
  /** Whether another record has taken the place of the one that was found. */
  let isReplaced = false
  /** Whether each write waits for the disk itself. */
  let isSynced = false

  /**
   * Opens the file and removes what an append that never ended has left in it.
   * @param bytes How many are there to be written.
   */
  async function open(bytes: number): Promise<number> {
    const { data } = directory.place(upload.id)
    // All that the upload will ever have, in one write: syncing it apart would be another trip to the thread pool.
    isSynced = directory.sync !== 'never' && syncedWrites !== undefined && start === 0 && bytes === upload.length
    fd = fs.openSync(data, isSynced && syncedWrites !== undefined ? syncedWrites : 'r+')
    const { size } = fs.fstatSync(fd)
    if (size < start) throw new StoreError('corrupt', `${data} has ${size} bytes, fewer than the offset ${start}`)
    if (size > start || upload.unverifiedFrom !== null || marked) await options.guard?.()
    if (size > start) await truncate(fd, start)
    const unverifiedFrom = marked ? start : null
    if (unverifiedFrom !== upload.unverifiedFrom) {
      await replaceRecord({ ...upload, unverifiedFrom })
    }
    isReady = true
    return fd
  }

  async function replaceRecord(record: FileUpload): Promise<void> {
    isReplaced = true
    await directory.writeRecord(record)
  }

  async function openWriter(bytes: number): Promise<VectorWriter> {
    const opened = fd ?? (await open(bytes))
    writer = vectorWriter(opened, position, {
      guard: options.guard,
      onWritten: atomic ? undefined : options.onProgress,
      freeChunk: options.freeChunk,
      isSynced,
      settle: directory.sync === 'never' ? undefined : () => dataSync(opened),
    })
    return writer
  }

  async function pushFirst(chunk: Uint8Array): Promise<void> {
    await (await openWriter(chunk.length)).push(chunk)
  }

  /**
   * Writes all that is left of the upload. Nothing can come behind it, so nothing is gathered, and no time has to be
   * kept, which makes up a part of what a small upload costs.
   */
  async function writeRest(chunk: Uint8Array): Promise<void> {
    const opened = await open(chunk.length)
    const isHere = !isSynced && mayWriteHere(chunk.length)
    const checked = options.guard?.()
    if (checked !== undefined) await checked
    for (let rest = chunk; rest.length > 0;) {
      const written = isHere
        ? writeHere(opened, [rest], position)
        : (await write(opened, rest, 0, rest.length, position)).bytesWritten
      if (written === 0) throw new Error('a write took no bytes')
      position += written
      rest = rest.subarray(written)
    }
    giveBack([chunk], options.freeChunk)
    options.onProgress?.(position)
  }

  async function pushHeld(gathered: Gatherer): Promise<void> {
    const to = await openWriter(gathered.bytes)
    for (const chunk of gathered.take()) await to.push(chunk)
  }

  function push(chunk: Uint8Array): Promise<void> | undefined {
    if (writer !== undefined) return writer.push(chunk)
    if (held === undefined) {
      const isRest = fd === undefined && upload.length !== null && chunk.length === upload.length - start
      return isRest ? writeRest(chunk) : pushFirst(chunk)
    }
    held.add(chunk)
    if (held.bytes <= heldBytes) return undefined
    marked = true
    return pushHeld(held)
  }

  async function end(): Promise<FileUpload> {
    if (held !== undefined && held.bytes > 0) await pushHeld(held)
    if (fd === undefined) return upload
    await writer?.end()
    const offset = writer?.position ?? position
    // While the file is open: whoever completes the upload would have to open it for that.
    const isWhole = offset === upload.length
    if (!isSynced && (isAlways || (isWhole && directory.sync !== 'never'))) await dataSync(fd)
    const done = { ...upload, offset, unverifiedFrom: null }
    if (marked) {
      await options.guard?.()
      await replaceRecord(done)
    }
    // Else a power cut would bring back the one that says less.
    if (isReplaced && isAlways) await directory.syncEntries(upload.id)
    if (isWhole) onSettled(done)
    if (atomic) options.onProgress?.(offset)
    return done
  }

  async function undo(): Promise<void> {
    held?.take()
    if (!isReady || fd === undefined) return
    await writer?.abandon()
    await options.guard?.()
    await truncate(fd, start)
    if (marked) await directory.writeRecord({ ...upload, unverifiedFrom: null })
  }

  return {
    push(chunk) {
      try {
        return push(chunk)?.catch((error: unknown) => {
          throw new TargetError(error)
        })
      } catch (error) {
        throw new TargetError(error)
      }
    },
    end: () => wrapped(end),
    undo: () => wrapped(undo),
    async close() {
      await writer?.abandon()
      if (fd === undefined) return
      if ((writer?.position ?? position) - start > quickClose) await close(fd)
      else fs.closeSync(fd)
    },
  }
}

async function wrapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new TargetError(error)
  }
}

/** Names what failed. What is no file error (a guard's own) passes as it is. */
function failure(error: unknown, directory: Directory, upload: FileUpload): unknown {
  if (error instanceof StoreError || !(error instanceof Error) || !('syscall' in error)) return error
  const { data } = directory.place(upload.id)
  if (isMissing(error)) return new StoreError('corrupt', `The bytes of an upload are gone: ${data}`, { cause: error })
  return storeError(error, `${data} cannot be written`)
}
