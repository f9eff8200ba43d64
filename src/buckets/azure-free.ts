import type { BlobGetPropertiesResponse, BlockBlobClient } from '@azure/storage-blob'
import { multipartsAt, orNull, remove } from './azure-blob.ts'
import { codeOf } from './azure-errors.ts'
import { despiteLease, leaseSeconds } from './azure-lease.ts'

/** On the empty blob whose commit has dropped blocks, until it is removed. */
const mark = { fileloftfreed: '1' }

/**
 * Frees the blocks of a multipart, which the service would keep, and charge for, until a week has passed without
 * further ones. It has no call for that, but whatever a commit does not name is dropped: so an empty blob is committed,
 * and removed. Only where there is no blob, nor a block of another multipart, and under a lease, so that nobody adds
 * either one meanwhile without breaking it (`despiteLease`), after which nothing is committed here any more. A blob gets
 * no lease: nobody could tell it from other software's, so that one left by a failure would stand in everybody's way.
 */
export async function freeBlocks(blob: BlockBlobClient, multipartId: string, abortSignal: AbortSignal): Promise<void> {
  const there = await orNull(blob.getProperties({ abortSignal }))
  if (there !== null && !isMarked(there)) return
  const lease = blob.getBlobLeaseClient()
  const acquire = () => lease.acquireLease(leaseSeconds, { abortSignal })
  if ((await orNull(despiteLease(blob, abortSignal, acquire))) === null) return
  const { leaseId } = lease
  try {
    const owners = await multipartsAt(blob, 'all', abortSignal)
    const isOurs = owners.length > 0 && owners.every((owner) => owner === multipartId)
    if (
      isOurs
        ? await dropBlocks(blob, leaseId, abortSignal)
        : owners.length === 0 && (await isDropped(blob, abortSignal))
    ) {
      return await remove(blob, abortSignal, leaseId)
    }
  } catch (error) {
    // Nobody needs to break it, unless this fails, too.
    await lease.releaseLease({ abortSignal }).catch(() => {})
    throw error
  }
  await orNull(lease.releaseLease({ abortSignal }))
}

/** False where there is a blob. */
async function dropBlocks(blob: BlockBlobClient, leaseId: string, abortSignal: AbortSignal): Promise<boolean> {
  try {
    await blob.commitBlockList([], { abortSignal, metadata: mark, conditions: { leaseId, ifNoneMatch: '*' } })
    return true
  } catch (error) {
    if (codeOf(error) === 'BlobAlreadyExists') return false
    throw error
  }
}

/** Whether an earlier attempt has come as far as that. */
async function isDropped(blob: BlockBlobClient, abortSignal: AbortSignal): Promise<boolean> {
  const properties = await orNull(blob.getProperties({ abortSignal }))
  return properties !== null && isMarked(properties)
}

function isMarked({ contentLength, metadata }: BlobGetPropertiesResponse): boolean {
  return contentLength === 0 && metadata?.['fileloftfreed'] !== undefined
}
