import type { Backend } from './backend.ts'

/**
 * What has to be installed beside fileloft for each backend: whoever uses another one does without. The images are
 * made from it.
 */
export const backendPackages: Readonly<Record<Backend, readonly string[]>> = {
  fs: [],
  s3: ['aws4fetch', '@aws-sdk/credential-providers'],
  gcs: ['@google-cloud/storage'],
  azure: ['@azure/storage-blob', '@azure/identity'],
}
