import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { isMissing } from './io.ts'
import { infoSuffix } from './paths.ts'

/**
 * Ids of all records below a folder. Memory does not grow with their number. Hidden files and folders
 * are skipped, and folders that may not be read; only when `root` itself cannot be, this throws.
 */
export async function* recordIds(root: string, folder = '', suffix = infoSuffix): AsyncGenerator<string> {
  for await (const entry of entries(`${root}/${folder}`, folder !== '')) {
    const { name } = entry
    if (name.startsWith('.')) continue
    if (entry.isDirectory()) yield* recordIds(root, `${folder}${name}/`, suffix)
    else if (name.endsWith(suffix)) yield folder + name.slice(0, -suffix.length)
  }
}

async function* entries(path: string, optional: boolean): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(path, { bufferSize: 64 })
  } catch (error) {
    // Removed since it was listed, or not ours to read.
    if (!optional && !isMissing(error)) throw error
  }
}
