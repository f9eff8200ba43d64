/** Whether a server has stored what it was sent. A server that loses bytes is not fast. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { SentUpload } from './load.ts'
import { expectedHash } from './pattern.ts'
import { verifyObjects } from './storage/verify.ts'

/**
 * Looks at the size of every upload and at every byte of the first, middle and last one. All the servers here keep
 * an upload's bytes in a file named after its id, or as parts `<id>_part_<n>`.
 * @throws Error that says which upload is wrong.
 */
export async function verifyStored(directory: string, uploads: readonly SentUpload[]): Promise<void> {
  const files = await filesBelow(directory)
  for (const { id, sent } of uploads) {
    let size = 0
    for (const path of files.get(id) ?? []) size += (await stat(path)).size
    if (size !== sent) throw new Error(`stored ${size} bytes of ${sent} of upload ${id}`)
  }
  const checked = new Set([uploads[0], uploads[Math.floor(uploads.length / 2)], uploads.at(-1)])
  for (const upload of checked) {
    if (upload === undefined) continue
    const hash = createHash('sha256')
    for (const path of files.get(upload.id) ?? []) {
      for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
    }
    if (hash.digest('hex') !== expectedHash(upload.phase, upload.sent)) {
      throw new Error(`the bytes of upload ${upload.id} are not those that were sent`)
    }
  }
}

/**
 * The same of a server whose files nobody else can read, by what it tells and serves: the offset of every upload, and
 * every byte of the first, middle and last one, if they are complete.
 * @param url Of the uploads, as in `http://127.0.0.1:8080/files`.
 * @throws Error that says which upload is wrong.
 */
export async function verifyServed(url: string, uploads: readonly SentUpload[], isComplete: boolean): Promise<void> {
  const size = async (id: string): Promise<number> => {
    const answer = await fetch(`${url}/${id}`, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
    return Number(answer.headers.get('Upload-Offset') ?? NaN)
  }
  const read = async (id: string) => (await fetch(`${url}/${id}`)).body ?? new ReadableStream<Uint8Array>()
  if (isComplete) return verifyObjects({ size, read }, uploads)
  for (const { id, sent } of uploads) {
    const stored = await size(id)
    if (stored !== sent) throw new Error(`stored ${stored} bytes of ${sent} of upload ${id}`)
  }
}

/** Paths by the upload they belong to, parts in their order. */
async function filesBelow(directory: string): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  const partOf = (name: string) => /^(.+)_part_(\d+)$/.exec(name)
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  files.sort((a, b) => Number(partOf(a.name)?.[2] ?? 0) - Number(partOf(b.name)?.[2] ?? 0))
  for (const { name, parentPath } of files) {
    const id = partOf(name)?.[1] ?? name
    found.set(id, [...(found.get(id) ?? []), join(parentPath, name)])
  }
  return found
}
