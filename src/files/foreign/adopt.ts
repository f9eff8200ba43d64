/**
 * Takes over what other tus servers have stored in a directory: their records are replaced by ours, the bytes stay
 * where they are. That server must not run any more; ours may.
 *
 * Safe to stop and to do again: a record is put in place as a whole, after its bytes are on the disk, and theirs goes
 * only then. A copy of each is kept in `.imported/`.
 */
import fs from 'node:fs'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { encodeId } from '../../id.ts'
import type { Concat } from '../../store.ts'
import { openDirectory, type Directory } from '../directory.ts'
import { dataSync, remove } from '../io.ts'
import { fileName, infoSuffix, locate, type Place } from '../paths.ts'
import { readRecordText, type FileUpload } from '../record.ts'
import { recordIds } from '../walk.ts'
import { type ForeignUpload, isOwn, readForeign, type Server } from './layout.ts'
import { findParts, joinParts, type Parts, removeParts } from './parts.ts'

export interface AdoptOptions {
  /** Milliseconds that incomplete uploads may still take; null = for ever. */
  readonly expireAfterMs: number | null
  /** The path below which uploads have their URLs, as in `createTusHandler`. */
  readonly basePath: string
  /** Only tells what would be done. */
  readonly dryRun: boolean
  /** Does work on an upload with its lock held: our server, or another import, may be at it. */
  readonly lock: <T>(id: string, work: () => Promise<T>) => Promise<T>
}

/** What became of one record. */
export interface Adopted {
  readonly id: string
  /** Whose it was; null where that cannot be told. */
  readonly server: Server | null
  readonly offset: number
  readonly length: number | null
  readonly completed: boolean
  /** Why it stays as it was; null = it is ours now. */
  readonly problem: string | null
}

/** What each record is looked at with. */
interface Work extends AdoptOptions {
  readonly directory: Directory
  readonly parts: Parts
}

type Suffix = '.info' | '.json'

/** Goes through all records below `root`; those that are ours are passed over. */
export async function* adopt(root: string, options: AdoptOptions): AsyncGenerator<Adopted> {
  const work: Work = { ...options, directory: openDirectory(root, 'always'), parts: findParts() }
  if (!options.dryRun) await work.directory.prepare()
  for (const suffix of [infoSuffix, '.json'] as const) {
    for await (const id of recordIds(root, '', suffix)) {
      const found = await adoptOne(work, id, suffix)
      if (found !== null) yield found
    }
  }
}

async function adoptOne(work: Work, id: string, suffix: Suffix): Promise<Adopted | null> {
  const { directory, dryRun, lock } = work
  const path = `${directory.root}/${id}${suffix}`
  let foreign: ForeignUpload | null = null
  try {
    foreign = readRecord(path, suffix)
    if (foreign === null) {
      if (suffix === infoSuffix && !dryRun) await clearUp(work, id)
      return null
    }
    const place = placeOf(directory, id, foreign)
    if (dryRun) return told(foreign, await convert(work, foreign, place, path))
    return await lock(id, async () => {
      // Another import may have been here, and a client meanwhile.
      const again = readRecord(path, suffix)
      if (again === null) return null
      if (suffix === '.json' && fs.existsSync(place.info)) {
        if (!isOurs(place.info)) throw new Error(`${place.info} is in the way`)
        remove(path)
        return null
      }
      const upload = await convert(work, again, place, path)
      await replace(work, again, upload, place, path)
      return told(again, upload)
    })
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { id, server: foreign?.server ?? null, offset: 0, length: null, completed: false, problem }
  }
}

/** Another server's record; null when it is gone, ours, or a file of JSON that is no record at all. */
function readRecord(path: string, suffix: Suffix): ForeignUpload | null {
  if (!fs.existsSync(path)) return null
  // An upload whose id ends like that: what it says is its client's word.
  if (suffix === '.json' && (fs.existsSync(path + infoSuffix) || fs.existsSync(`${path}.json`))) return null
  const text = readRecordText(path)
  const record = parse(text ?? '')
  if (text === null || isOwn(record)) return null
  const foreign = readForeign(record, suffix)
  if (foreign === null && suffix === infoSuffix) throw new Error('no server that is known here writes such records')
  return foreign
}

function told({ server }: ForeignUpload, { id, offset, length, completed }: FileUpload): Adopted {
  return { id, server, offset, length, completed, problem: null }
}

function isOurs(info: string): boolean {
  return isOwn(parse(readRecordText(info) ?? ''))
}

/** Removes the parts of an upload that is ours already, where an earlier import was stopped before it did. */
async function clearUp({ directory, parts }: Work, id: string): Promise<void> {
  const copy = copyPath(directory, id, infoSuffix)
  const place = locate(directory.root, id)
  if (place === null || !fs.existsSync(copy) || !fs.existsSync(place.info) || !isOurs(place.info)) return
  const foreign = readForeign(parse(readRecordText(copy) ?? ''), infoSuffix)
  if (foreign?.server === 'fileloft for Rust') removeParts(await parts.left(place))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function placeOf({ root }: Directory, id: string, foreign: ForeignUpload): Place {
  if (foreign.id !== id) throw new Error(`it is of another upload, ${JSON.stringify(foreign.id)}`)
  const place = locate(root, id)
  if (place === null) throw new Error('no file can be named after its id here')
  const { dataPath } = foreign
  // What a relative path was relative to is not known; the file's name is what it tells.
  const isElsewhere = dataPath !== null && !dataPath.endsWith(`/${id}`) && dataPath !== id
  if (isElsewhere && !fs.existsSync(place.data)) {
    throw new Error(`its bytes were put into ${dataPath}; move them to ${place.data}`)
  }
  return place
}

async function convert(work: Work, foreign: ForeignUpload, place: Place, path: string): Promise<FileUpload> {
  const { expireAfterMs, basePath } = work
  const { id, length, metadata } = foreign
  const parts = await work.parts.of(foreign, place)
  const offset = parts.length > 0 ? (foreign.offset ?? 0) : storedBytes(foreign, place)
  // With all bytes there but not in one file, nobody has been told that it is complete.
  const completed = offset === length && parts.length === 0
  if (length !== null && offset > length) throw new Error(`it has ${offset} bytes, more than its length of ${length}`)
  const isFinal = Array.isArray(foreign.concat)
  if (isFinal && !completed) throw new Error('it is a final upload whose bytes were not put together; create it again')
  const { mtimeMs, birthtimeMs } = await stat(path)
  const createdAt = foreign.createdAt ?? Math.floor(birthtimeMs > 0 ? birthtimeMs : mtimeMs)
  const expiresAt = completed
    ? null
    : (foreign.expiresAt ?? (expireAfterMs === null ? null : Date.now() + expireAfterMs))
  const concat = concatOf(foreign, basePath)
  const times = { createdAt, expiresAt }
  return {
    id,
    length,
    offset,
    metadata,
    concat,
    ...times,
    attributes: {},
    completed,
    joined: isFinal,
    unverifiedFrom: null,
  }
}

/** How many bytes count. */
function storedBytes(foreign: ForeignUpload, place: Place): number {
  const size = fs.statSync(place.data, { throwIfNoEntry: false })?.size
  if (size === undefined) {
    // The one for Rust makes the file when the first byte comes, or at the end.
    if (foreign.offset === 0) return 0
    throw new Error(`its bytes are missing: there is no ${place.data}`)
  }
  if (foreign.offset !== null && size < foreign.offset) {
    throw new Error(`${place.data} has ${size} bytes, less than the ${foreign.offset} that were recorded`)
  }
  return foreign.offset ?? size
}

function concatOf({ concat }: ForeignUpload, basePath: string): Concat | null {
  if (concat === null) return null
  if (concat === 'partial') return { type: 'partial' }
  const urls = concat.map((id) => `${basePath.replace(/\/$/, '')}/${encodeId(id)}`)
  return { type: 'final', value: `final;${urls.join(' ')}`, partials: concat }
}

async function replace(
  { directory, parts }: Work,
  foreign: ForeignUpload,
  upload: FileUpload,
  place: Place,
  path: string,
): Promise<void> {
  const copy = copyPath(directory, upload.id, path.slice(path.lastIndexOf('.')))
  await mkdir(dirname(copy), { recursive: true })
  await writeFile(copy, readRecordText(path) ?? '', { flush: true })
  const joined = await parts.of(foreign, place)
  await joinParts(directory, place, joined, upload.offset)
  if (!fs.existsSync(place.data)) fs.closeSync(fs.openSync(place.data, 'wx'))
  await settle(place.data, upload.offset)
  await directory.writeRecord(upload)
  await directory.syncEntries(upload.id)
  if (path !== place.info) remove(path)
  removeParts(joined)
}

function copyPath({ root }: Directory, id: string, suffix: string): string {
  return `${root}/.imported/${fileName(id)}${suffix}`
}

/** Their servers do not wait for the disk. */
async function settle(path: string, offset: number): Promise<void> {
  const fd = fs.openSync(path, 'r+')
  try {
    if (fs.fstatSync(fd).size > offset) fs.ftruncateSync(fd, offset)
    await dataSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}
