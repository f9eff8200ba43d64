import fs from 'node:fs'
import { StoreError } from '../errors.ts'
import type { NewUpload } from '../store.ts'
import { makeParents, removeParents, type Directory } from './directory.ts'
import { addMarkers, removeMarkers } from './finals.ts'
import { errorCode, isMissing, remove, storeError } from './io.ts'
import { locate, type Place } from './paths.ts'
import { parseRecord, readRecordText, type FileUpload } from './record.ts'

/**
 * Makes an upload's files. The empty data file claims the id, exclusively; the record follows. A crash in between
 * leaves a name that is taken, and nobody was told of it.
 */
export async function createFiles(directory: Directory, upload: NewUpload): Promise<FileUpload> {
  const { root, sync } = directory
  const place = locate(root, upload.id)
  if (place === null) {
    throw new TypeError(`The id ${JSON.stringify(upload.id)} cannot be stored: no file can be named after it`)
  }
  await directory.prepare()
  // Else the upload would go to the disk below, and be gone when the right one is back.
  directory.assertPresent()
  const created = { ...upload, offset: 0, completed: false, joined: false, unverifiedFrom: null }
  claim(place, upload.id)
  try {
    addMarkers(root, upload)
    const durable = sync === 'always'
    if (!(await directory.createRecord(created, durable))) {
      if (isForeign(place, upload.id)) throw taken(upload.id, `${place.info} is not the store's`)
      await directory.writeRecord(created, durable)
    }
    if (sync === 'always') await directory.syncEntries(upload.id)
    return created
  } catch (error) {
    giveUp(directory, place, upload)
    throw storeError(error, `${place.data} cannot be created`)
  }
}

/** Others may remove an emptied folder between its making and its use, again and again, but not for ever. */
const attempts = 20

function claim(place: Place, id: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      fs.closeSync(fs.openSync(place.data, 'wx'))
      return
    } catch (error) {
      const code = errorCode(error)
      if (code === 'EEXIST' || code === 'EISDIR') throw taken(id, `${place.data} exists`)
      if (code === 'ENOTDIR') throw taken(id, `a segment of ${place.data} is a file`)
      if (code !== 'ENOENT' || attempt === attempts) throw storeError(error, `${place.data} cannot be created`)
      parents(place, id)
    }
  }
}

function parents(place: Place, id: string): void {
  try {
    makeParents(place.data)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EEXIST' || code === 'ENOTDIR') throw taken(id, `a segment of ${place.data} is a file`)
    if (code !== 'ENOENT') throw storeError(error, `The folders of ${place.data} cannot be made`)
  }
}

function taken(id: string, why: string): StoreError {
  return new StoreError('exists', `The id ${JSON.stringify(id)} is taken: ${why}`)
}

/** Whether what lies where the record goes is not the rest of an upload that was being removed, or made. */
function isForeign(place: Place, id: string): boolean {
  const stats = fs.lstatSync(place.info, { throwIfNoEntry: false })
  if (stats === undefined) return false
  if (!stats.isFile()) return true
  if (stats.size === 0) return false
  try {
    const text = readRecordText(place.info)
    return text === null || parseRecord(text, place.info).id !== id
  } catch (error) {
    return !isMissing(error)
  }
}

function giveUp(directory: Directory, place: Place, upload: NewUpload): void {
  try {
    remove(place.data)
    removeMarkers(directory.root, upload)
    removeParents(place.data, directory.root)
  } catch {
    // The name stays taken; the failure that led here is the one to tell.
  }
}
