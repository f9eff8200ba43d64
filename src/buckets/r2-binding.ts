/**
 * What is used of a Worker's R2 binding, by shape: `R2Bucket` of @cloudflare/workers-types, or of `wrangler types`, fits
 * without either being needed.
 */
export interface R2Binding {
  /** As `R2Bucket.head`. */
  head(key: string): Promise<R2Object | null>
  /** As `R2Bucket.get`. */
  get(key: string, options?: { range: { offset: number; length: number } }): Promise<R2ObjectBody | null>
  /** As `R2Bucket.put`. */
  put(
    key: string,
    value: Uint8Array,
    options?: { onlyIf?: { etagMatches?: string; etagDoesNotMatch?: string }; httpMetadata?: R2HttpMetadata },
  ): Promise<R2Object | null>
  /** As `R2Bucket.delete`. */
  delete(key: string): Promise<void>
  /** As `R2Bucket.list`. */
  list(options: { prefix: string; cursor?: string }): Promise<R2List>
  /** As `R2Bucket.createMultipartUpload`. */
  createMultipartUpload(key: string, options?: { httpMetadata?: R2HttpMetadata }): Promise<R2Created>
  /** As `R2Bucket.resumeMultipartUpload`. */
  resumeMultipartUpload(key: string, uploadId: string): R2Multipart
}

export interface R2Created {
  readonly uploadId: string
}

export interface R2HttpMetadata {
  contentType?: string
  contentDisposition?: string
}

export interface R2Object {
  readonly size: number
  /** Without quotes. */
  readonly etag: string
}

export interface R2ObjectBody extends R2Object {
  readonly body: { getReader(options: { mode: 'byob' }): R2ByobReader }
  arrayBuffer(): Promise<ArrayBuffer>
}

export interface R2ByobReader {
  read(
    view: Uint8Array,
    options?: { min: number },
  ): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  cancel(reason?: unknown): Promise<void>
}

export interface R2List {
  readonly objects: readonly { readonly key: string; readonly size: number }[]
  readonly truncated: boolean
  readonly cursor?: string
}

export interface R2Multipart {
  uploadPart(partNumber: number, value: Uint8Array): Promise<{ readonly etag: string }>
  complete(parts: { partNumber: number; etag: string }[]): Promise<unknown>
  abort(): Promise<void>
}
