/** The slowest that a client may be. */
export interface MinRate {
  /** Bytes per second, on average over a window. */
  readonly bytesPerSecond: number
  /** Milliseconds of a window: of time spent waiting for the client. */
  readonly windowMs: number
}

/** Measures one body, window by window. */
export interface Pace {
  /** Notes a chunk and how long it was waited for. True when it ends a window in which too few bytes arrived. */
  isTooSlow(waitedMs: number, bytes: number): boolean
  /** Milliseconds of waiting until the window is over, with too few bytes; the present wait has taken `waitingMs`. */
  left(waitingMs: number): number
}

/** Time that the storage takes is not the client's: only what is spent waiting for bytes is counted. */
export function createPace({ bytesPerSecond, windowMs }: MinRate): Pace {
  const enough = (bytesPerSecond * windowMs) / 1000
  let waited = 0
  let received = 0
  return {
    isTooSlow(waitedMs, bytes) {
      waited += waitedMs
      received += bytes
      if (waited < windowMs && received < enough) return false
      const tooSlow = received < enough
      waited = 0
      received = 0
      return tooSlow
    },
    left: (waitingMs) => windowMs - waited - waitingMs,
  }
}
