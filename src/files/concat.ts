import fs from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { StoreError } from '../errors.ts'
import type { ConcatenateOptions } from '../store.ts'
import { discard, type Directory } from './directory.ts'
import { close, dataSync, errorCode, read, storeError, truncate, write } from './io.ts'
import type { FileUpload } from './record.ts'

/**
 * Puts the bytes of the partials, in order, into the final's data file, and tells their number. Done again after a
 * crash at any point it arrives at the same bytes.
 *
 * Where the partials are not needed afterwards, the first one's file becomes the final's file, by a second link: no
 * byte of it moves. Its record keeps its own length, so what is appended behind does not show in the partial.
 */
export async function joinFiles(
  directory: Directory,
  final: FileUpload,
  partials: readonly FileUpload[],
  options: ConcatenateOptions,
): Promise<number> {
  const target = directory.place(final.id).data
  const pieces = partials.map((partial) => piece(directory, partial))
  try {
    const [first, ...others] = pieces
    let position = 0
    if (first !== undefined) {
      await options.guard?.()
      if (options.consumes !== true || !reuse(first.path, target, directory)) {
        await copyFirst(first.path, target, directory)
      }
      position = first.length
    }
    const fd = fs.openSync(target, 'r+')
    try {
      // What comes after the first piece: of a partial that another final had been made of, or of an earlier try.
      // A piece that occurs twice is read from this very file, below `position`, where nothing is written any more.
      for (const { path, length } of others) {
        await copyInto(fd, position, path, length, options.guard)
        position += length
      }
      if (fs.fstatSync(fd).size > position) {
        await options.guard?.()
        await truncate(fd, position)
      }
      if (directory.sync !== 'never') await dataSync(fd)
    } finally {
      await close(fd)
    }
    return position
  } catch (error) {
    throw storeError(error, `${target} cannot be put together`)
  }
}

interface Piece {
  readonly path: string
  readonly length: number
}

function piece(directory: Directory, partial: FileUpload): Piece {
  if (partial.length === null || partial.offset !== partial.length) {
    throw new StoreError('corrupt', `The partial upload ${partial.id} is not complete`)
  }
  return { path: directory.place(partial.id).data, length: partial.length }
}

/**
 * Makes `target` a second name of the partial's file; false where that cannot be. A file that a third name leads to
 * belongs to another final already and is not touched: of two that try at once, at least one sees the other's link.
 */
function reuse(partial: string, target: string, directory: Directory): boolean {
  const was = fs.statSync(partial)
  if (was.ino === fs.statSync(target).ino) return was.nlink === 2
  if (was.nlink !== 1) return false
  const path = directory.temporary()
  try {
    fs.linkSync(partial, path)
    if (fs.statSync(path).nlink !== 2) return false
    fs.renameSync(path, target)
    return true
  } catch (error) {
    if (noLinks.has(errorCode(error))) return false
    throw error
  } finally {
    discard(path)
  }
}

/** What `link` says on file systems that have none. */
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV', 'EINVAL'])

/**
 * A clone where the file system can (no byte moves), else a copy inside the kernel. Not into `target` itself, which an
 * earlier try may have made a link to a partial.
 */
async function copyFirst(from: string, target: string, directory: Directory): Promise<void> {
  const path = directory.temporary()
  try {
    await copyFile(from, path, fs.constants.COPYFILE_FICLONE)
    fs.renameSync(path, target)
  } finally {
    discard(path)
  }
}

const blockBytes = 1 << 20

/** Copies `length` bytes to `position`, reading one block while the last one is written. */
async function copyInto(
  fd: number,
  position: number,
  path: string,
  length: number,
  guard: (() => void | Promise<void>) | undefined,
): Promise<void> {
  const source = fs.openSync(path, 'r')
  let ahead: Promise<unknown> | undefined
  try {
    const buffers = [Buffer.allocUnsafe(Math.min(blockBytes, length)), Buffer.allocUnsafe(Math.min(blockBytes, length))]
    const load = (turn: number, from: number): Promise<Buffer> => {
      const buffer = buffers[turn % 2] ?? Buffer.alloc(0)
      const loading = fill(source, path, buffer.subarray(0, Math.min(blockBytes, length - from)), from)
      loading.catch(() => undefined)
      ahead = loading
      return loading
    }
    let next = length > 0 ? load(0, 0) : undefined
    for (let done = 0, turn = 1; next !== undefined; turn++) {
      const block = await next
      const from = done
      done += block.length
      next = done < length ? load(turn, done) : undefined
      await guard?.()
      for (let sent = 0; sent < block.length;) {
        sent += (await write(fd, block, sent, block.length - sent, position + from + sent)).bytesWritten
      }
    }
  } finally {
    await ahead?.catch(() => undefined)
    await close(source)
  }
}

/** Fills the whole buffer. */
async function fill(fd: number, path: string, buffer: Buffer, position: number): Promise<Buffer> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await read(fd, buffer, done, buffer.length - done, position + done)
    if (bytesRead === 0) throw new StoreError('corrupt', `${path} ends at byte ${position + done}, too early`)
    done += bytesRead
  }
  return buffer
}
