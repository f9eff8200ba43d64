import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { PreviousUpload, UrlStorage } from 'tus-js-client'

/**
 * Remembers where interrupted uploads are, for the next run: one file each, replaced as a whole, so that neither a
 * crash nor other runs at the same time can spoil it. Only their owner may read them: a URL may be all it takes to
 * change an upload.
 * @param onFailure Hears of what cannot be remembered, which is no reason not to upload.
 */
export function createPlaces(directory: string, onFailure: (error: unknown) => void): UrlStorage {
  const pathOf = (key: string) => join(directory, `${key}.json`)
  const read = async (key: string): Promise<PreviousUpload[]> => {
    try {
      const upload = JSON.parse(await readFile(pathOf(key), 'utf8')) as PreviousUpload
      return [{ ...upload, urlStorageKey: key }]
    } catch {
      // There is none, or none that can be used: the upload starts over.
      return []
    }
  }
  const write = async (key: string, upload: PreviousUpload): Promise<void> => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const temporary = join(directory, `.${randomUUID()}`)
    await writeFile(temporary, JSON.stringify(upload), { mode: 0o600 })
    await rename(temporary, pathOf(key))
  }
  return {
    findAllUploads: () => Promise.resolve([]),
    findUploadsByFingerprint: read,
    async addUpload(fingerprint, upload) {
      await write(fingerprint, upload).catch(onFailure)
      return fingerprint
    },
    // What stays is an upload that is complete: the next run would find that out.
    removeUpload: (key) => rm(pathOf(key), { force: true }).catch(() => {}),
  }
}

/** Names the upload of a file: the same for the same bytes, as far as one can tell without reading them. */
export function fingerprintOf(about: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(about)).digest('hex')
}
