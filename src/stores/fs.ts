import fs from 'node:fs'
import { resolve } from 'node:path'
import { StoreError } from '../errors.ts'
import { appendBody } from '../files/append.ts'
import { joinFiles } from '../files/concat.ts'
import { createFiles } from '../files/create.ts'
import { checkDirectory, openDirectory, removeParents } from '../files/directory.ts'
import { markedFinals, removeMarkers } from '../files/finals.ts'
import { dataSync, isMissing, remove, storeError } from '../files/io.ts'
import { locate } from '../files/paths.ts'
import { countedSize } from '../files/power-cut.ts'
import { readRange } from '../files/read.ts'
import { parseRecord, readRecordText, type FileUpload } from '../files/record.ts'
import { recordIds } from '../files/walk.ts'
import type { Store } from '../store.ts'

/** What `fileStore` takes. */
export interface FileStoreOptions {
  /**
   * Where uploads are kept. Made when it is missing. One file system: subfolders may not be mounts of others.
   *
   * Where it lies on a disk of its own, let the process start after that is mounted: a disk that goes away while the
   * process runs is noticed (`unavailable`), but to a process that has never seen it, it looks like a directory that
   * is still to be made, and every upload is unknown.
   */
  readonly directory: string

  /**
   * When the store waits until the disk itself has the bytes. A crash of the process loses nothing either way; this
   * is about power cuts and crashes of the machine.
   *
   * - `complete`: before an upload is completed (its bytes, its record and their directory entries). What a running
   *   upload has sent in the last seconds may be gone after a power cut; its offset then says so. (Zeros at the end of
   *   what was written before the machine's start do not count, unless the upload is complete.)
   * - `always`: also after each append, creation and change, before the client is told of it.
   * - `never`: the system writes when it likes.
   *
   * @default 'complete'
   */
  readonly sync?: 'always' | 'complete' | 'never'
}

/**
 * Keeps uploads as plain files in a directory, which any number of processes may share (with a locker they share:
 * `fsLocker`).
 *
 * - `<id>`: the bytes. The file's size is the offset, so appending writes no record and a crash cannot make the two
 *   disagree (what a power cut can do: power-cut.ts). Ids with slashes make subfolders; emptied ones are removed.
 * - `<id>.info`: the record, one line of JSON: `fileloft` (1, the format), `completed` (0 or 1), `id`, `length` (number
 *   or null), `metadata` (the header's value or null), `concat` (null, `{type: "partial"}` or
 *   `{type: "final", value, partials}`), `createdAt` and `expiresAt` (milliseconds, the latter may be null), `joined`
 *   (true for a final upload whose bytes are put together) and `unverifiedFrom` (an offset or null: bytes from there on
 *   await their checksum and do not count). It is replaced as a whole, by writing another file, syncing it unless
 *   `sync` says `never`, and renaming it; only the first one, and the digit of `completed`, are written in its place.
 * - `.tmp/` (records that are to replace others), `.finals/` (which final uploads wait for which partial ones).
 *
 * Files without a record are not the store's (a record is a file of at most 16 MiB): they are never touched, and their names count as taken. Ids that end
 * in `.info`, in any segment, cannot be stored. Symbolic links are followed where somebody with access to the
 * directory has put them; no request can make one.
 *
 * @throws TypeError when an option is not usable. Nothing is read or written before the first use.
 */
export function fileStore(
  options: FileStoreOptions,
): Required<Omit<Store<FileUpload>, 'recall' | 'leftovers' | 'maxLength'>> {
  const { directory: path, sync = 'complete' } = options
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new TypeError('fileStore: directory must be a path')
  }
  if (sync !== 'always' && sync !== 'complete' && sync !== 'never') {
    throw new TypeError(`fileStore: sync must be 'always', 'complete' or 'never', not ${JSON.stringify(sync)}`)
  }
  const root = resolve(path)
  const directory = openDirectory(root, sync)
  const settled = settledUploads()

  function find(id: string): FileUpload | null {
    const place = locate(root, id)
    if (place === null) return null
    let text: string | null
    let stats: fs.Stats | undefined
    try {
      text = readRecordText(place.info)
      if (text === null) return null
      stats = fs.statSync(place.data, { throwIfNoEntry: false })
    } catch (error) {
      if (!isMissing(error)) throw storeError(error, `${place.info} cannot be read`)
      directory.assertPresent()
      return null
    }
    const record = parseRecord(text, place.info)
    // A termination that was cut short, bytes that somebody moved away, or a file system that ignores case.
    if (stats === undefined || !stats.isFile() || record.id !== id) return null
    return withOffset(record, stats, place.data)
  }

  return {
    create: (upload) => createFiles(directory, upload),

    get: async (id) => find(id),

    append: (upload, body, appendOptions = {}) => appendBody(directory, upload, body, appendOptions, settled.add),

    async update(upload, change) {
      await directory.prepare()
      const changed = { ...upload, ...change }
      const completes = changed.completed && !upload.completed
      if (completes && changed.offset !== changed.length) {
        throw new StoreError(
          'corrupt',
          `${upload.id} has ${changed.offset} bytes of ${changed.length}, it is not complete`,
        )
      }
      if (!completes) {
        await directory.writeRecord(changed)
        if (sync === 'always') await directory.syncEntries(changed.id)
        return changed
      }
      const record = { ...changed, unverifiedFrom: null }
      await settleBytes(upload)
      const durable = sync !== 'never'
      await Promise.all([complete(upload, record, durable), durable ? directory.syncEntries(record.id) : undefined])
      removeMarkers(root, record)
      return record
    },

    async sync(upload) {
      await settleBytes(upload)
      settled.add(upload)
    },

    async terminate(upload) {
      const place = directory.place(upload.id)
      try {
        // The bytes first: a record without bytes counts as nothing, bytes without a record would stay for ever.
        remove(place.data)
        remove(place.info)
        removeMarkers(root, upload)
        removeParents(place.data, root)
      } catch (error) {
        throw storeError(error, `${place.data} cannot be removed`)
      }
      if (sync === 'always') await directory.syncEntries(upload.id)
    },

    async *incomplete() {
      for await (const id of recordIds(root)) {
        const upload = readable(id)
        if (upload !== null && !upload.completed) yield upload
      }
    },

    read: (upload, range) => readRange(directory.place(upload.id).data, range),

    async concatenate(final, partials, concatenateOptions = {}) {
      await directory.prepare()
      const total = await joinFiles(directory, final, partials, concatenateOptions)
      const joined = { ...final, length: total, offset: total, joined: true }
      await concatenateOptions.guard?.()
      await directory.writeRecord(joined)
      if (sync !== 'never') await directory.syncEntries(final.id)
      removeMarkers(root, final)
      settled.add(joined)
      return joined
    },

    async finalsOf(partialId) {
      try {
        const ids = await markedFinals(root, partialId)
        // One that cannot be read must not keep the others waiting.
        return ids.filter((id) => waitsFor(readable(id), partialId))
      } catch (error) {
        throw storeError(error, `The final uploads of ${partialId} cannot be listed`)
      }
    },

    check: () => checkDirectory(directory),
  }

  /** Records the completion, in place where nothing else changes. */
  async function complete(before: FileUpload, after: FileUpload, durable: boolean): Promise<void> {
    const same =
      before.length === after.length && before.expiresAt === after.expiresAt && before.unverifiedFrom === null
    if (same && (await directory.markCompleted(after.id, durable))) return
    await directory.writeRecord(after)
    if (durable) await directory.syncEntries(after.id)
  }

  /** Makes sure that the bytes up to the offset are there, and nothing behind them, and on the disk. */
  async function settleBytes(upload: FileUpload): Promise<void> {
    const { data } = directory.place(upload.id)
    const checkSize = (size: number) => {
      if (size < upload.offset) throw new StoreError('corrupt', `${data} has ${size} bytes of ${upload.offset}`)
    }
    try {
      if (settled.take(upload)) {
        checkSize(fs.statSync(data).size)
        return
      }
      const fd = fs.openSync(data, 'r+')
      try {
        const { size, nlink } = fs.fstatSync(fd)
        checkSize(size)
        // Bytes that never counted; in a partial's file that a final shares (another link) they are the final's.
        if (size > upload.offset && nlink === 1) fs.ftruncateSync(fd, upload.offset)
        if (sync !== 'never') await dataSync(fd)
      } finally {
        fs.closeSync(fd)
      }
    } catch (error) {
      throw storeError(error, `${data} cannot be completed`)
    }
  }

  function readable(id: string): FileUpload | null {
    try {
      return find(id)
    } catch (error) {
      // Also what may not be read: one such file must not keep the others from being swept.
      if (error instanceof StoreError) return null
      throw error
    }
  }
}

/** Most uploads that wait to be completed, such as for their finish hook, and are known to be settled. */
const mostSettled = 256

/**
 * Uploads whose bytes are all in their file, nothing behind them, and synced, so that completing them does not open it
 * again. Each is taken once. Not a WeakSet: the quick collections of new objects keep all that is in one.
 */
function settledUploads() {
  const settled = new Set<FileUpload>()
  return {
    add: (upload: FileUpload): void => {
      settled.add(upload)
      // The oldest comes first: that one is synced once more.
      const [oldest] = settled.size > mostSettled ? settled : []
      if (oldest !== undefined) settled.delete(oldest)
    },
    take: (upload: FileUpload): boolean => settled.delete(upload),
  }
}

/** The record with the offset that its data file's size means. */
function withOffset(record: FileUpload, stats: fs.Stats, path: string): FileUpload {
  const { length } = record
  const { size } = stats
  const isFinal = record.concat?.type === 'final'
  if (isFinal && !record.joined) return record
  const isWhole = record.completed || record.joined
  if (isWhole) {
    // A partial's file may have become a final's file, which is longer.
    const fits = record.concat?.type === 'partial' ? size >= (length ?? 0) : size === length
    if (!fits) throw new StoreError('corrupt', `${path} has ${size} bytes, its record says ${length}`)
  }
  const counted = isWhole ? size : countedSize(path, stats)
  return { ...record, offset: Math.min(counted, length ?? counted, record.unverifiedFrom ?? counted) }
}

function waitsFor(final: FileUpload | null, partialId: string): boolean {
  return (
    final?.concat?.type === 'final' && !final.joined && !final.completed && final.concat.partials.includes(partialId)
  )
}
