import type { CallOptions } from '../objects/bucket.ts'
import type { GcsClient } from './gcs-client.ts'
import { answerError, isMissingObject, statusOf } from './gcs-errors.ts'
import { concurrently } from './gcs-parts.ts'

/** Most calls of one batch. */
const maxBatch = 100

/** Removes one object; one that is not there is fine. */
export async function removeObject(client: GcsClient, path: string, options: CallOptions): Promise<void> {
  try {
    await client.text({ method: 'DELETE', path }, options)
  } catch (error) {
    if (!isMissingObject(error)) throw error
  }
}

/**
 * Removes objects, many with one request; those that are not there are fine.
 *
 * @param paths Of the objects in the API.
 * @throws GcsError when one of them could not be removed.
 */
export async function removeObjects(client: GcsClient, paths: readonly string[], options: CallOptions): Promise<void> {
  const batches = Array.from({ length: Math.ceil(paths.length / maxBatch) }, (_, n) =>
    paths.slice(n * maxBatch, (n + 1) * maxBatch),
  )
  await concurrently(batches, async (batch) => {
    const [only] = batch
    if (only !== undefined && batch.length === 1) return removeObject(client, only, options)
    try {
      await removeBatch(client, batch, options)
    } catch (error) {
      // Some emulators know no batches.
      if (![404, 405, 501].includes(statusOf(error))) throw error
      await concurrently(batch, (path) => removeObject(client, path, options))
    }
  })
}

async function removeBatch(client: GcsClient, paths: readonly string[], options: CallOptions): Promise<void> {
  const boundary = `batch-${crypto.randomUUID()}`
  const calls = paths.map(
    (path, n) =>
      `--${boundary}\r\nContent-Type: application/http\r\nContent-ID: <${n}>\r\n\r\nDELETE ${path} HTTP/1.1\r\n\r\n\r\n`,
  )
  const answer = await client.text(
    {
      method: 'POST',
      path: '/batch/storage/v1',
      headers: { 'content-type': `multipart/mixed; boundary=${boundary}` },
      body: [Buffer.from(`${calls.join('')}--${boundary}--\r\n`)],
    },
    options,
  )
  const statuses = Array.from(answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm), ([, status]) => Number(status))
  if (statuses.length !== paths.length) {
    throw answerError(502, `${statuses.length} answers to a batch of ${paths.length} calls`)
  }
  const failed = statuses.find((status) => status !== 404 && (status < 200 || status > 299))
  if (failed !== undefined) throw answerError(failed, 'in a batch of deletes')
}
