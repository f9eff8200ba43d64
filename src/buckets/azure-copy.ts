import {
  BlobSASPermissions,
  StorageOAuthScopes,
  StorageSharedKeyCredential,
  type BlockBlobClient,
  type ContainerClient,
  type HttpAuthorization,
} from '@azure/storage-blob'
import type { ByteRange } from '../objects/bucket.ts'
import { download } from './azure-blob.ts'
import { codeOf, statusOf } from './azure-errors.ts'

/** What lets the service read a blob on our behalf. */
export type CopyAccess = (blob: BlockBlobClient, abortSignal: AbortSignal) => Promise<CopySource>

interface CopySource {
  readonly url: string
  readonly sourceAuthorization?: HttpAuthorization
}

/** The service takes URLs of up to 2 KiB. */
const maxSourceUrl = 2000

/**
 * A SAS signed with the account key, the token of the identity, or the SAS that we were given ourselves. Undefined when
 * there is none of these.
 */
export function copyAccess({ credential, url }: ContainerClient): CopyAccess | undefined {
  if (credential instanceof StorageSharedKeyCredential) {
    const permissions = BlobSASPermissions.parse('r')
    return async (blob) => ({
      url: await blob.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + 3_600_000) }),
    })
  }
  if ('getToken' in credential) {
    let token: { token: string; expiresOnTimestamp: number } | null = null
    return async (blob, abortSignal) => {
      if (token === null || token.expiresOnTimestamp - Date.now() < 300_000) {
        token = await credential.getToken(StorageOAuthScopes, { abortSignal })
      }
      if (token === null) throw new Error('The credential gave no token')
      return { url: blob.url, sourceAuthorization: { scheme: 'Bearer', value: token.token } }
    }
  }
  return new URL(url).searchParams.has('sig') ? async (blob) => ({ url: blob.url }) : undefined
}

/**
 * Makes a block of bytes of another blob. Where the service cannot read that one itself (rules of the account's network,
 * a name too long for a source), the bytes pass through this process. False when they are not there.
 */
export async function copyBlock(
  blob: BlockBlobClient,
  blockId: string,
  source: BlockBlobClient,
  range: ByteRange,
  access: CopyAccess,
  abortSignal: AbortSignal,
): Promise<boolean> {
  const { url, ...authorization } = await access(source, abortSignal)
  const size = range.end - range.start
  if (url.length <= maxSourceUrl) {
    try {
      await blob.stageBlockFromURL(blockId, url, range.start, size, { abortSignal, ...authorization })
      return true
    } catch (error) {
      const unread = codeOf(error) === 'CannotVerifyCopySource' || statusOf(error) === 416
      if (!unread || statusOf(error) >= 500) throw error
    }
  }
  const answer = await download(source, range, abortSignal)
  if (answer === null || answer === 'none' || answer.contentLength !== size) return false
  const { readableStreamBody, blobBody } = answer
  const body = readableStreamBody === undefined ? ((await blobBody) ?? '') : () => readableStreamBody
  await blob.stageBlock(blockId, body, size, { abortSignal })
  return true
}
