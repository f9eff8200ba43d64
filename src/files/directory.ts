import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { lstat, readdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StoreError } from '../errors.ts'
import { close, dataSync, errorCode, fileSync, isMissing, remove, storeError, syncedWrites, write } from './io.ts'
import { locate, type Place } from './paths.ts'
import { type FileUpload, formatRecord, incompletePrefix, maxRecordBytes } from './record.ts'
import { directorySyncs } from './sync.ts'

/** When the store waits for the disk itself; see `FileStoreOptions`. */
export type Sync = 'always' | 'complete' | 'never'

/** What the parts of the filesystem store share: one directory and how to write records into it. */
export interface Directory {
  readonly root: string
  readonly sync: Sync
  /** Makes the directory and clears old temporary files, once. Everything that writes awaits it first. */
  prepare(): Promise<void>
  /** Where the upload's files are. @throws StoreError when no file can have this name. */
  place(id: string): Place
  /** A path for a temporary file that nobody else uses. */
  temporary(): string
  /**
   * Writes the first record of an upload that nobody knows of yet; an empty one is none. False when something is in its
   * place. A temporary file that is renamed would cost every creation two more entries, and on Linux renames
   * between two folders wait for each other, all of a file system.
   */
  createRecord(upload: FileUpload, durable: boolean): Promise<boolean>
  /**
   * Puts the record in the place of the old one, all or nothing. It waits for the disk before: else a power cut would
   * leave an empty file on some file systems (XFS), and of an upload of hours nothing would be known any more.
   * @param durable @default unless nothing is ever synced
   */
  writeRecord(upload: FileUpload, durable?: boolean): Promise<void>
  /**
   * Sets `completed` in the record, one byte in its place: all or nothing like a new record, but without a new file,
   * which costs several times as much. False when the record is not written as this store writes it.
   */
  markCompleted(id: string, durable: boolean): Promise<boolean>
  /** Waits until the entries of the upload's folder, and of those above it, are on the disk. */
  syncEntries(id: string): Promise<void>
  /**
   * Throws when the directory is not there any more, or on another device: then an unknown id means nothing.
   *
   * That one has never been there says nothing: nobody may have created an upload yet. And a device that changes is
   * never accepted, not even one that looks like a store's: what shows below an unmounted disk may be a store's as
   * well (of a start without the disk), and answering "unknown" there makes clients start over. A disk mounted over a
   * directory in use is had after a restart.
   */
  assertPresent(): void
}

/** A temporary file that has not been touched for so long belongs to nobody, in milliseconds. */
const temporaryAgeMs = 10 * 60_000

export function openDirectory(root: string, sync: Sync): Directory {
  const temporaries = `${root}/.tmp`
  const own = `${temporaries}/${randomUUID()}`
  const syncDirectory = directorySyncs()
  let prepared: Promise<void> | undefined
  let device: number | undefined
  let count = 0

  async function prepare(): Promise<void> {
    try {
      fs.mkdirSync(temporaries, { recursive: true })
      device = fs.statSync(root).dev
    } catch (error) {
      prepared = undefined
      throw storeError(error, `The directory ${root} cannot be used`)
    }
    await clearTemporaries(temporaries)
  }

  const directory: Directory = {
    root,
    sync,
    prepare: () => (prepared ??= prepare()),

    place(id) {
      const place = locate(root, id)
      if (place === null) throw new StoreError('unavailable', `No file can be named after the id ${JSON.stringify(id)}`)
      return place
    },

    temporary: () => `${own}-${++count}`,

    async createRecord(upload, durable) {
      const { info } = directory.place(upload.id)
      const bytes = Buffer.from(formatRecord(upload))
      // More than a page may be seen half written.
      if (bytes.length > pageBytes) {
        if (fs.lstatSync(info, { throwIfNoEntry: false }) !== undefined) return false
        await directory.writeRecord(upload, durable)
        return true
      }
      let fd: number
      try {
        fd = fs.openSync(info, 'wx')
      } catch (error) {
        if (errorCode(error) === 'EEXIST') return false
        throw storeError(error, `The record ${info} cannot be written`)
      }
      try {
        try {
          await writeAll(fd, bytes)
          if (durable) await fileSync(fd)
        } finally {
          // Network file systems tell here that it did not fit.
          fs.closeSync(fd)
        }
        return true
      } catch (error) {
        discard(info)
        throw storeError(error, `The record ${info} cannot be written`)
      }
    },

    async writeRecord(upload, durable = sync !== 'never') {
      const { info } = directory.place(upload.id)
      const path = directory.temporary()
      try {
        const fd = createAgain(path, temporaries)
        try {
          await writeAll(fd, Buffer.from(formatRecord(upload)))
          if (durable) await fileSync(fd)
        } finally {
          fs.closeSync(fd)
        }
        fs.renameSync(path, info)
      } catch (error) {
        discard(path)
        throw storeError(error, `The record ${info} cannot be written`)
      }
    },

    async markCompleted(id, durable) {
      const { info } = directory.place(id)
      try {
        const synced = durable ? syncedWrites : undefined
        const fd = fs.openSync(info, synced ?? 'r+')
        try {
          const length = incompletePrefix.length
          const count = fs.readSync(fd, start, 0, start.length, 0)
          if (count < length || start.compare(incomplete, 0, length, 0, length) !== 0) return false
          // Bytes, not a string: Deno would write that at the start of the file.
          if (synced !== undefined) await write(fd, completedBit, 0, 1, length - 1)
          else fs.writeSync(fd, completedBit, 0, 1, length - 1)
          // What was created may not be on the disk yet, and a synced write takes only its own page there.
          if (durable && (synced === undefined || count > pageBytes)) await dataSync(fd)
          return true
        } finally {
          fs.closeSync(fd)
        }
      } catch (error) {
        throw storeError(error, `The record ${info} cannot be written`)
      }
    },

    async syncEntries(id) {
      try {
        const work: Promise<void>[] = []
        for (let folder = dirname(directory.place(id).info); ; folder = dirname(folder)) {
          work.push(syncDirectory(folder))
          if (folder.length <= root.length) break
        }
        await Promise.all(work)
      } catch (error) {
        throw storeError(error, `The directory ${root} cannot be synced`)
      }
    },

    assertPresent() {
      const now = fs.statSync(root, { throwIfNoEntry: false })
      if (device === undefined) device = now?.dev
      else if (now?.dev !== device) {
        throw new StoreError('unavailable', `The directory ${root} is gone, or another disk is mounted there`)
      }
    },
  }
  return directory
}

/** Makes the missing folders above `path`. */
export function makeParents(path: string): void {
  fs.mkdirSync(dirname(path), { recursive: true })
}

/** Removes the folders above `path` that have become empty, up to `root`. Others may fill them meanwhile. */
export function removeParents(path: string, root: string): void {
  for (let folder = dirname(path); folder.length > root.length; folder = dirname(folder)) {
    try {
      fs.rmdirSync(folder)
    } catch (error) {
      // Not empty is the usual end; whatever else keeps an empty folder harms nobody.
      if (!isMissing(error)) return
    }
  }
}

/** Opens a new temporary file, in a folder that somebody may have cleared away. */
function createAgain(path: string, folder: string): number {
  try {
    return fs.openSync(path, 'wx')
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
    fs.mkdirSync(folder, { recursive: true })
    return fs.openSync(path, 'wx')
  }
}

const completedBit = Buffer.from('1')

const incomplete = Buffer.from(incompletePrefix)

/** What goes into the cache at once, and faster than into the thread pool's queue. */
const pageBytes = 4096

/** What the beginning of a record is read into, to be looked at at once: one byte more than a page tells that it is longer. */
const start = Buffer.alloc(pageBytes + 1)

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  if (bytes.length > maxRecordBytes) throw new TypeError(`A record of ${bytes.length} bytes cannot be stored`)
  let done = bytes.length <= pageBytes ? fs.writeSync(fd, bytes) : 0
  while (done < bytes.length) done += (await write(fd, bytes, done, bytes.length - done, null)).bytesWritten
}

/** Removes a temporary file after a failure that matters more than this one. */
export function discard(path: string): void {
  try {
    remove(path)
  } catch {
    // It is cleared after some minutes.
  }
}

/** What `temporary` names. */
const temporaryName = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+$/

/** Never fails: what cannot be removed (or is not the store's) takes some space, but keeps nobody from working. */
async function clearTemporaries(folder: string): Promise<void> {
  const oldest = Date.now() - temporaryAgeMs
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter((found) => temporaryName.test(found))) {
    const path = `${folder}/${name}`
    try {
      const stats = await lstat(path)
      if (stats.isFile() && stats.mtimeMs < oldest) await rm(path)
    } catch {
      // Somebody else was first, or may keep it.
    }
  }
}

/** Asks whether files can be made, synced and removed here. */
export async function checkDirectory(directory: Directory): Promise<void> {
  await directory.prepare()
  directory.assertPresent()
  const path = directory.temporary()
  try {
    const fd = createAgain(path, dirname(path))
    try {
      await write(fd, Buffer.from('fileloft'))
      await fileSync(fd)
    } finally {
      await close(fd)
    }
    remove(path)
  } catch (error) {
    discard(path)
    throw storeError(error, `The directory ${directory.root} cannot be written to`)
  }
}
