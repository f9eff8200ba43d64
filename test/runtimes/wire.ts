/** What the client of client.ts sends over: any byte connection. */

/** One connection as seen from the client. */
export interface Wire {
  /** Resolves to null at the end; rejects when the connection breaks. */
  read(): Promise<Uint8Array | null>
  /** Resolves when more may be written. */
  write(bytes: Uint8Array): Promise<void>
  /** Breaks it off. */
  destroy(): void
}

export type Dial = (port: number) => Promise<Wire>

export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}
