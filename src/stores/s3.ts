import { s3Bucket } from '../buckets/s3.ts'
import { objectStore, type ObjectStoreOptions } from '../objects/store.ts'
import type { ObjectUpload } from '../objects/record.ts'
import type { Store } from '../store.ts'

export type { BufferMemory, StorageCall, StorageObserver } from '../objects/observer.ts'
export type { ObjectHeaders } from '../objects/bucket.ts'
export type { RetryOptions } from '../objects/retry.ts'
export type { ObjectStoreOptions }

/** What `s3Store` takes: where the bucket is, and how uploads are kept in it. */
export interface S3StoreOptions extends S3Options, ObjectStoreOptions {}

/** Where a bucket of S3 is, and who asks. */
export interface S3Options {
  /** Has to exist. */
  readonly bucket: string

  /**
   * What every key begins with, such as `uploads/`. Any printable text without `.` and `..` as folders.
   *
   * @default ''
   */
  readonly prefix?: string

  /**
   * Address of the service, for anything but AWS: `http://127.0.0.1:9000`,
   * `https://<account>.r2.cloudflarestorage.com`.
   *
   * @default AWS in `region`
   */
  readonly endpoint?: string

  /** @default What the endpoint's host names (AWS, Backblaze, Wasabi, Scaleway; `auto` for R2), else `us-east-1` */
  readonly region?: string

  /**
   * Whether the bucket stands in the path (`https://host/bucket/key`) or in the host (`https://bucket.host/key`).
   *
   * @default false on AWS (where the bucket's name has no dots) and on services that know hosts only, else true
   */
  readonly forcePathStyle?: boolean

  /**
   * A pair of keys, or a function that gets one, such as `fromNodeProviderChain()` of `@aws-sdk/credential-providers`.
   * What it returns is used until five minutes before its `expiration`, or until it is refused.
   */
  readonly credentials: S3Credentials | (() => Promise<S3Credentials>)

  /**
   * Goes on where the service does not honour conditional writes. Conditions are then looked up before each write, so
   * that two processes which lost sight of each other (a paused one whose lock was taken over) can overwrite each
   * other's records: for one process, or with a locker that is never wrong.
   *
   * @default false
   */
  readonly allowUnfenced?: boolean

  /**
   * `sha256` signs a hash of all that is sent, which the service verifies. It costs about a second of CPU time per GiB;
   * TLS detects damage on the way without it.
   *
   * @default none
   */
  readonly checksum?: 'sha256'

  /**
   * Whether all parts of an object but the last are made of the same size.
   *
   * @default true on R2, else false
   */
  readonly uniformParts?: boolean

  /**
   * Makes the requests, as `fetch` does: with keep-alive, without following redirects (`redirect: 'manual'`).
   *
   * @default globalThis.fetch
   */
  readonly fetch?: S3Fetch
}

/** A pair of keys, for ever or for a while. */
export interface S3Credentials {
  /** The public half. */
  readonly accessKeyId: string
  /** The secret half, which signs. */
  readonly secretAccessKey: string
  /** Goes with keys that end. */
  readonly sessionToken?: string | undefined
  /** When these end, if they do. */
  readonly expiration?: Date | undefined
}

/** The part of `fetch` that is used. */
export interface S3Fetch {
  /** As `fetch`. */
  (url: string, init: S3RequestInit): Promise<Response>
  /** Whether it sends `stream`s, of which some bytes are still to come, with their `Content-Length`. @default false */
  readonly sendsStreams?: boolean
}

/** A request as `S3Fetch` gets it, signed. */
export interface S3RequestInit {
  /** As in `RequestInit`. */
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** As in `RequestInit`; they are signed, so none may be changed. */
  readonly headers: Headers
  /** As in `RequestInit`; never a stream. */
  readonly body?: Uint8Array<ArrayBuffer> | string
  /** Instead of `body`, only for who `sendsStreams`: so many bytes, in pieces. What iterating throws ends the request. */
  readonly stream?: {
    /** Bytes in all. */
    readonly size: number
    /** Begins with the first byte, each time it is called. */
    readonly pieces: () => AsyncIterable<Uint8Array>
  }
  /** A redirect is answered as it is: a signature holds for one address. */
  readonly redirect: 'manual'
  /** Gives the request up. */
  readonly signal: AbortSignal
}

/**
 * Keeps uploads in a bucket of Amazon S3 or of a service that speaks its protocol: MinIO, Cloudflare R2, Ceph, Backblaze
 * B2, Wasabi, SeaweedFS, ... Needs the package `aws4fetch`, no SDK.
 *
 * What it writes, all below `prefix`: `<id>` (the finished object), `<id>.info` (the record, with bytes too few for a
 * part), `.finals/` (which final uploads wait for which partial ones), and while `check` runs `.probe-<random>`.
 * Unfinished uploads are multipart uploads of S3: a lifecycle rule that aborts those after some days ends the uploads,
 * too, whose clients then have to start over.
 *
 * Permissions: `s3:PutObject`, `s3:GetObject`, `s3:DeleteObject`, `s3:AbortMultipartUpload` and, after failures,
 * `s3:ListMultipartUploadParts` on `arn:aws:s3:::<bucket>/<prefix>*`; `s3:ListBucket` and
 * `s3:ListBucketMultipartUploads` on `arn:aws:s3:::<bucket>`. Without `s3:ListBucket` the service calls an object that
 * is not there forbidden, which is a failure here.
 *
 * Limits: 10,000 parts of 5 MiB to 5 GiB; objects of 48.8 TiB on AWS, taken as 5 TiB elsewhere. Conditional writes are
 * needed (see `allowUnfenced`). MinIO lists the multipart uploads begun since it was started only; it removes older ones
 * by itself, after a day. Nothing but HTTPS hides what is sent, and tells that it arrived as it was; see `checksum`.
 *
 * @throws TypeError when an option is not usable. Nothing is read or written before the first use.
 */
export function s3Store(options: S3StoreOptions): Required<Store<ObjectUpload>> {
  return objectStore(s3Bucket(options), options)
}
