import type { BlockBlobClient } from '@azure/storage-blob'
import { codeOf } from './azure-errors.ts'

/** The shortest that the service gives. */
export const leaseSeconds = 15

/**
 * Makes a call that a lease may stand in the way of. One that `freeBlocks` has taken, and whose holder may be dead, is
 * broken at once instead of waited for: what its holder still writes is conditional on it, and fails. A lease of other
 * software stays, and the call fails.
 */
export async function despiteLease<T>(
  blob: BlockBlobClient,
  abortSignal: AbortSignal,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!/^Lease(IdMissing|AlreadyPresent)$/.test(codeOf(error))) throw error
    const broken = await breakLease(blob, abortSignal).catch(() => false)
    if (!broken) throw error
    return call()
  }
}

/** False where the lease is not one of ours: those are on names that have blocks only, or for a moment an empty blob. */
async function breakLease(blob: BlockBlobClient, abortSignal: AbortSignal): Promise<boolean> {
  try {
    const { contentLength, leaseDuration } = await blob.getProperties({ abortSignal })
    if (contentLength !== 0 || leaseDuration !== 'fixed') return false
  } catch (error) {
    if (codeOf(error) !== 'BlobNotFound') throw error
  }
  await blob.getBlobLeaseClient().breakLease(0, { abortSignal })
  return true
}
