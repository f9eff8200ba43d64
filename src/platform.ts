/**
 * What a runtime knows about a request that Fetch cannot say. All of it is optional: the handler works without.
 * `fileloft/node` and `fileloft/hono` fill it in on Node.
 */
export interface Platform {
  /**
   * The same bytes as `request.body`, from a cheaper source (Node's IncomingMessage). Iterated at most once. It ends
   * when the client has sent everything and throws when the connection breaks before that; leaving the loop early
   * must keep the connection able to carry an answer.
   */
  readonly body?: AsyncIterable<Uint8Array>
  /** Frees the memory of a chunk of `body`, which nobody else may read: see `AppendOptions`. */
  readonly freeChunk?: ((chunk: Uint8Array) => void) | undefined
  /** Trailers of the request, known once the body has ended. Enables checksum-trailer. */
  readonly trailers?: () => Headers
  /** The client's address as the connection shows it. */
  readonly remoteAddress?: string | undefined
  /** The client's port on that address. */
  readonly remotePort?: number | undefined
  /**
   * Keeps the request alive until the work has ended, where the runtime ends it with its answer or its client
   * (`ctx.waitUntil` on Cloudflare Workers): what had arrived is stored all the same, and hooks run to their end.
   */
  readonly waitUntil?: (work: Promise<unknown>) => void
  /** Whether the connection itself is encrypted, for the scheme of `Location`. */
  readonly encrypted?: boolean
  /**
   * Headers for the answer, whatever it is: what names the request in a log, say. Where the handler or a hook has one of
   * that name, theirs is sent.
   */
  readonly answerHeaders?: Readonly<Record<string, string>>
}

/**
 * Whether requests may not do input or output for each other, as on Cloudflare's runtime: a timer or a stream of one
 * ends with it.
 */
export const isPerRequest = globalThis.navigator?.userAgent === 'Cloudflare-Workers'

/** Milliseconds beyond which timers fire at once. */
export const longestTimerMs = 2 ** 31 - 1
