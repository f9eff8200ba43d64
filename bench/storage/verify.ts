/** Whether the storage has what the tus server was sent. */
import { createHash } from 'node:crypto'
import type { SentUpload } from '../load.ts'
import { expectedHash } from '../pattern.ts'
import type { BenchStorage } from './storage.ts'

/**
 * Looks at the size of every object and at every byte of the first, middle and last one. All the servers here keep an
 * upload in an object named after its id; tusd's ids on S3 go on with `+` and the multipart upload's.
 * @throws Error that says which upload is wrong.
 */
export async function verifyObjects(
  storage: Pick<BenchStorage, 'size' | 'read'>,
  uploads: readonly SentUpload[],
): Promise<void> {
  const keyOf = ({ id }: SentUpload) => decodeURIComponent(id).split('+')[0] ?? ''
  for (const upload of uploads) {
    const size = await storage.size(keyOf(upload))
    if (size !== upload.sent) throw new Error(`stored ${size} bytes of ${upload.sent} of upload ${upload.id}`)
  }
  const checked = new Set([uploads[0], uploads[Math.floor(uploads.length / 2)], uploads.at(-1)])
  for (const upload of checked) {
    if (upload === undefined) continue
    const hash = createHash('sha256')
    for await (const chunk of await storage.read(keyOf(upload))) hash.update(chunk)
    if (hash.digest('hex') !== expectedHash(upload.phase, upload.sent)) {
      throw new Error(`the bytes of upload ${upload.id} are not those that were sent`)
    }
  }
}
