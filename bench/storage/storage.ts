/** The object storages that uploads are measured on. */
import type { Dialect } from '../../test/support/storage-dialects.ts'

export const storageNames = ['s3', 'azure', 'gcs'] as const

export type StorageName = (typeof storageNames)[number]

/** A storage server with an empty bucket. */
export interface BenchStorage {
  /** The server's name. */
  readonly title: string
  readonly dialect: Dialect
  readonly endpoint: string
  /** How each tus server is told to use the bucket, by way of this origin. */
  reach(origin: string): Reach
  /** Bytes of an object. @throws Error when there is none */
  size(key: string): Promise<number>
  read(key: string): Promise<AsyncIterable<Uint8Array>>
  stop(): Promise<void>
}

export interface Reach {
  readonly fileloft: Readonly<Record<string, string>>
  readonly tusNode: Readonly<Record<string, string>>
  readonly tusd: { readonly args: readonly string[]; readonly environment: Readonly<Record<string, string>> }
}

export function bodyOf({ body }: Response): AsyncIterable<Uint8Array> {
  if (body === null) throw new Error('the answer has no body')
  return body
}
