import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import type { AppendOptions } from '../store.ts'
import type { Directory } from './directory.ts'
import { gatherer } from './gather.ts'
import { close, dataSync, isMissing, storeError, truncate } from './io.ts'
import type { FileUpload } from './record.ts'
import { vectorWriter, type VectorWriter } from './vectors.ts'

/** An append longer than this closes its file in the thread pool: a network file system flushes it there. */
const quickClose = 256 * 1024

/** An atomic append up to this is held in memory until its body has ended: it needs no mark in the record. */
const heldBytes = 1 << 20

/**
 * Writes a body from the upload's offset on. The new offset needs no record: it is the size of the file. Nothing is
 * opened before the first byte, so an empty body costs and changes nothing.
 * @param onSynced Told of the upload that is returned when all its bytes are on the disk.
 */
export async function appendBody(
  directory: Directory,
  upload: FileUpload,
  body: AsyncIterable<Uint8Array>,
  options: AppendOptions,
  onSynced: (upload: FileUpload) => void,
): Promise<FileUpload> {
  const target = openTarget(directory, upload, options, onSynced)
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

/** How a file is opened each of whose writes is on the disk when it is done; undefined where there is no such way. */
const syncedWrites =
  (fs.constants.O_DSYNC as number | undefined) === undefined ? undefined : fs.constants.O_RDWR | fs.constants.O_DSYNC

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
  onSynced: (upload: FileUpload) => void,
): Target {
  const start = upload.offset
  const atomic = options.atomic === true
  let fd: number | undefined
  let writer: VectorWriter | undefined
  /** Of an atomic append: what came before it is known whether it fits into memory. */
  const held = gatherer(options.freeChunk)
  let marked = false
  /** Whether each write waits for the disk itself. */
  let isSynced = false

  /**
   * Opens the file and removes what an append that never ended has left in it.
   * @param bytes How many are there to be written.
   */
  async function open(bytes: number): Promise<VectorWriter> {
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
      await directory.writeRecord({ ...upload, unverifiedFrom }, marked && directory.sync !== 'never')
    }
    const opened = fd
    writer = vectorWriter(opened, start, {
      guard: options.guard,
      onWritten: atomic ? undefined : options.onProgress,
      freeChunk: options.freeChunk,
      isSynced,
      settle: directory.sync === 'never' ? undefined : () => dataSync(opened),
    })
    return writer
  }

  async function pushFirst(chunk: Uint8Array): Promise<void> {
    await (await open(chunk.length)).push(chunk)
  }

  async function pushHeld(): Promise<void> {
    const to = await open(held.bytes)
    for (const chunk of held.take()) await to.push(chunk)
  }

  function push(chunk: Uint8Array): Promise<void> | undefined {
    if (writer !== undefined) return writer.push(chunk)
    if (!atomic) return pushFirst(chunk)
    held.add(chunk)
    if (held.bytes <= heldBytes) return undefined
    marked = true
    return pushHeld()
  }

  async function end(): Promise<FileUpload> {
    if (held.bytes > 0) await pushHeld()
    if (writer === undefined || fd === undefined) return upload
    await writer.end()
    const offset = writer.position
    // While the file is open: whoever completes the upload would have to open it for that.
    const isWhole = directory.sync !== 'never' && offset === upload.length
    if ((isWhole || directory.sync === 'always') && !isSynced) await dataSync(fd)
    const done = { ...upload, offset, unverifiedFrom: null }
    if (marked) {
      await options.guard?.()
      await directory.writeRecord(done, directory.sync === 'always')
    }
    if (isWhole) onSynced(done)
    if (atomic) options.onProgress?.(offset)
    return done
  }

  async function undo(): Promise<void> {
    held.take()
    if (writer === undefined || fd === undefined) return
    await writer.abandon()
    await options.guard?.()
    await truncate(fd, start)
    if (marked) await directory.writeRecord({ ...upload, unverifiedFrom: null }, false)
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
      if (writer !== undefined && writer.position - start > quickClose) await close(fd)
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
