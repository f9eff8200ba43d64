import type { Storage } from '@google-cloud/storage'
import { gcsBucket } from '../buckets/gcs.ts'
import type { ObjectUpload } from '../objects/record.ts'
import { objectStore, type ObjectStoreOptions } from '../objects/store.ts'
import type { Store } from '../store.ts'

export type { BufferMemory, StorageCall, StorageObserver } from '../objects/observer.ts'
export type { ObjectHeaders } from '../objects/bucket.ts'
export type { RetryOptions } from '../objects/retry.ts'
export type { ObjectStoreOptions }

/** What `gcsStore` takes: where the bucket is, and how uploads are kept in it. */
export interface GcsStoreOptions extends GcsOptions, ObjectStoreOptions {}

/** Where a bucket of Google Cloud Storage is, and who asks. */
export interface GcsOptions {
  /** Has to exist. */
  readonly bucket: string

  /**
   * What the name of every object begins with, such as `uploads/`. Any printable text.
   *
   * @default ''
   */
  readonly prefix?: string

  /**
   * Another address of the service: an emulator (`http:`, which gets no credentials) or a private or regional endpoint
   * (`https:`).
   *
   * @default STORAGE_EMULATOR_HOST, which has to name `http://` or `https://`, else `https://storage.googleapis.com`
   */
  readonly endpoint?: string

  /** Path of a key file. @default Application Default Credentials */
  readonly keyFilename?: string

  /** What stands in a key file, instead of that. */
  readonly credentials?: GcsCredentials

  /** Only what the client is told: objects belong to the project of their bucket. */
  readonly projectId?: string

  /**
   * A client made already, with credentials and an endpoint of its own; those here then count for nothing. It is asked
   * for access tokens, the requests are made without it.
   */
  readonly storage?: Storage
}

/** A service account, as its key file has it. */
export interface GcsCredentials {
  /** The account's address. */
  readonly client_email: string
  /** Its key, as PEM. */
  readonly private_key: string
}

/**
 * Keeps uploads in a bucket of Google Cloud Storage. Needs the package `@google-cloud/storage` and Node.
 *
 * What it writes, all below `prefix`: `<id>` (the finished object), `<id>.info` (the record, with bytes too few for a
 * part), `.finals/` (which final uploads wait for which partial ones), `.parts/<id>/` (objects that are composed into
 * the finished one and then removed), and while `check` runs `.probe-<random>`. A lifecycle rule that removes what is
 * old below `.parts/` ends unfinished uploads, whose clients then have to start over.
 *
 * Permissions: `storage.objects.create`, `.get`, `.list` and `.delete` on the bucket, which `roles/storage.objectUser`
 * holds. Without `list` the service calls an object that is not there forbidden, which is a failure here.
 *
 * Limits: objects of 5 TiB in 10,000 parts of any size; names of 1,024 bytes, about 50 of which the names of parts need
 * beside prefix and id. One object can be replaced about once a second; more makes the service ask for a pause, which is
 * made. The bucket must not have a retention policy. With soft delete (on in new buckets) or versioning the parts of
 * finished uploads go on being paid for until they are gone for good. All objects need the bucket's storage class while
 * they are put together: no rule should move partial uploads to another one.
 *
 * @throws TypeError when an option is not usable. Nothing is read or written before the first use.
 */
export function gcsStore(options: GcsStoreOptions): Required<Store<ObjectUpload>> {
  return objectStore(gcsBucket(options), options)
}
