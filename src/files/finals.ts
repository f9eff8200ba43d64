import fs from 'node:fs'
import { readdir } from 'node:fs/promises'
import type { NewUpload } from '../store.ts'
import { errorCode, isMissing, remove } from './io.ts'
import { fileName } from './paths.ts'

/*
 * Which final uploads wait for a partial one: `.finals/<partial>/<final>`, a file that holds the id of the final. The
 * names are encoded ids. A marker is made before the record of its final and removed after that has been joined, so
 * there may be one too many after a crash, and never one too few.
 */

export function addMarkers(root: string, final: Pick<NewUpload, 'id' | 'concat'>): void {
  for (const folder of folders(root, final)) {
    fs.mkdirSync(folder, { recursive: true })
    const path = `${folder}/${fileName(final.id)}`
    try {
      fs.writeFileSync(path, final.id)
    } catch (error) {
      // The last marker of another final was removed in between, and the folder with it.
      if (errorCode(error) !== 'ENOENT') throw error
      fs.mkdirSync(folder, { recursive: true })
      fs.writeFileSync(path, final.id)
    }
  }
}

export function removeMarkers(root: string, final: Pick<NewUpload, 'id' | 'concat'>): void {
  for (const folder of folders(root, final)) {
    remove(`${folder}/${fileName(final.id)}`)
    try {
      fs.rmdirSync(folder)
    } catch {
      // Others are waiting for the same partial.
    }
  }
}

/** Ids that markers name for this partial: they may be joined or gone by now. */
export async function markedFinals(root: string, partialId: string): Promise<string[]> {
  const folder = `${root}/.finals/${fileName(partialId)}`
  const names = (await orMissing(() => readdir(folder))) ?? []
  const ids: string[] = []
  for (const name of names) {
    // One that was joined or removed since takes its marker along; the others still wait.
    const id = await orMissing(() => fs.readFileSync(`${folder}/${name}`, 'utf8'))
    if (id !== null) ids.push(id)
  }
  return ids
}

async function orMissing<T>(look: () => T | Promise<T>): Promise<T | null> {
  try {
    return await look()
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function folders(root: string, final: Pick<NewUpload, 'concat'>): string[] {
  if (final.concat?.type !== 'final') return []
  return [...new Set(final.concat.partials)].map((id) => `${root}/.finals/${fileName(id)}`)
}
