/** What the page is told about the server. */
export interface DemoSettings {
  /** Path or URL where uploads are created. */
  readonly endpoint: string
  /** Whether uploads can be downloaded. */
  readonly download: boolean
  readonly extensions: readonly string[]
  /** Bytes; null = no limit. */
  readonly maxSize: number | null
}
