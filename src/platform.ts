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
  /** Trailers of the request, known once the body has ended. Enables checksum-trailer. */
  readonly trailers?: () => Headers
  /** The client's address as the connection shows it. */
  readonly remoteAddress?: string
  /** The client's port on that address. */
  readonly remotePort?: number
  /** Whether the connection itself is encrypted, for the scheme of `Location`. */
  readonly encrypted?: boolean
}
