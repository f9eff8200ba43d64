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
import { formatRecord, readRecordText, type FileUpload } from '../record.ts'
import { recordIds } from '../walk.ts'
import { type ForeignUpload, isOwn, readForeign, type Server } from './layout.ts'
import { joinParts, partsOf } from './parts.ts'

export interface AdoptOptions {
  /** Milliseconds that incomplete uploads may still take; null = for ever. */
  readonly expireAfterMs: number | null
  /** The path below which uploads have their URLs, as in `createTusHandler`. */
  readonly basePath: string
  /** Only tells what would be done. */
  readonly dryRun: boolean
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

/** Goes through all records below `root`; those that are ours are passed over. */
export async function* adopt(root: string, options: AdoptOptions): AsyncGenerator<Adopted> {
  const directory = openDirectory(root, 'always')
  if (!options.dryRun) await directory.prepare()
  for (const suffix of [infoSuffix, '.json'] as const) {
    for await (const id of recordIds(root, '', suffix)) {
      const found = await adoptOne(directory, id, suffix, options)
      if (found !== null) yield found
    }
  }
}

async function adoptOne(
  directory: Directory,
  id: string,
  suffix: '.info' | '.json',
  options: AdoptOptions,
): Promise<Adopted | null> {
  const path = `${directory.root}/${id}${suffix}`
  let foreign: ForeignUpload | null = null
  try {
    const text = readRecordText(path)
    const record: unknown = text === null ? null : parse(text)
    if (text === null || isOwn(record)) return null
    foreign = readForeign(record, suffix)
    // A file of JSON without a record in it is somebody's upload, or somebody's configuration.
    if (foreign === null && suffix === '.json') return null
    if (foreign === null) throw new Error('no server that is known here writes such records')
    const { server } = foreign
    const place = placeOf(directory, id, foreign)
    if (suffix === '.json' && isTaken(place.info)) {
      if (!options.dryRun) remove(path)
      return null
    }
    const upload = await convert(foreign, place, path, options)
    const { offset, length, completed } = upload
    if (!options.dryRun) await replace(directory, upload, place, path, text)
    return { id, server, offset, length, completed, problem: null }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { id, server: foreign?.server ?? null, offset: 0, length: null, completed: false, problem }
  }
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

function isTaken(info: string): boolean {
  return fs.existsSync(info) && isOwn(parse(readRecordText(info) ?? ''))
}

async function convert(
  foreign: ForeignUpload,
  place: Place,
  path: string,
  { expireAfterMs, basePath }: AdoptOptions,
): Promise<FileUpload> {
  const { id, length, metadata } = foreign
  const offset = await storedBytes(foreign, place)
  const completed = offset === length && !(await waitsForItsEnd(foreign, place))
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
async function storedBytes(foreign: ForeignUpload, place: Place): Promise<number> {
  const parts = await partsOf(foreign, place)
  if (parts.length > 0) return foreign.offset ?? 0
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

/** Whether all bytes came but were not put into their file: then nobody has been told that it is complete. */
async function waitsForItsEnd(foreign: ForeignUpload, place: Place): Promise<boolean> {
  return (await partsOf(foreign, place)).length > 0
}

function concatOf({ concat }: ForeignUpload, basePath: string): Concat | null {
  if (concat === null) return null
  if (concat === 'partial') return { type: 'partial' }
  const urls = concat.map((id) => `${basePath.replace(/\/$/, '')}/${encodeId(id)}`)
  return { type: 'final', value: `final;${urls.join(' ')}`, partials: concat }
}

async function replace(
  directory: Directory,
  upload: FileUpload,
  place: Place,
  path: string,
  text: string,
): Promise<void> {
  // Before anything is changed: a record that could not be read back must not be written.
  formatRecord(upload)
  const copy = `${directory.root}/.imported/${fileName(upload.id)}${path.slice(path.lastIndexOf('.'))}`
  await mkdir(dirname(copy), { recursive: true })
  await writeFile(copy, text, { flush: true })
  const done = await joinParts(directory, place, upload.offset)
  if (!fs.existsSync(place.data)) fs.closeSync(fs.openSync(place.data, 'wx'))
  await settle(place.data, upload.offset)
  await directory.writeRecord(upload, true)
  await directory.syncEntries(upload.id)
  if (path !== place.info) remove(path)
  for (const part of done) remove(part)
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
