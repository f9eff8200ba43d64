/** Where events that wait are kept: a few small things under names, beside the uploads. */
export interface Shelf {
  /** This process, as others know it. */
  readonly self: string
  /**
   * Stores something, whatever was there. All or nothing; it survives the end of this process.
   * @param options.durable Also a power cut.
   * @returns what names this very content in `replace`.
   */
  put(key: string, bytes: Uint8Array, options: { readonly durable: boolean }): Promise<string>
  /** The same, only if nobody has changed or removed it since that version; else null. */
  replace(key: string, bytes: Uint8Array, version: string): Promise<string | null>
  get(key: string): Promise<{ readonly bytes: Uint8Array; readonly version: string } | null>
  /** That it is not there is fine. */
  delete(key: string): Promise<void>
  /** What is there under keys that start so, without that start, in no particular order. */
  list(prefix: string): Promise<string[]>
  /** Whether another process has ended, or null where that cannot be known: then times decide. */
  isGone(owner: string): Promise<boolean | null>
  /** Lets others have what this process leaves. */
  close(): Promise<void>
}
