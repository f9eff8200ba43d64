import { StoreError } from '../errors.ts'
import type { PartBody } from './bucket.ts'
import type { Filling } from './filling.ts'

/** The body of a part that is on its way while it is filled. */
export interface StreamedBody extends PartBody {
  /** More bytes are in. */
  readonly more: () => void
  /** They will not all come: whoever sends it stops. */
  readonly giveUp: () => void
}

/** Fewer bytes are not worth a write of their own. */
const leastPiece = 2 * 1024 * 1024

/** Milliseconds after which they are, all the same: storage gives a connection up that stands still (S3: after 20 s). */
const longestQuietMs = 5_000

/** @param size Bytes that the part has in the end; all of them may be there. */
export function streamedBody(part: Filling, size: number): StreamedBody {
  const controller = new AbortController()
  const { signal } = controller
  let waiting: (() => void)[] = []

  const more = (): void => {
    const all = waiting
    waiting = []
    for (const resolve of all) resolve()
  }

  /** Whether nothing is gained by waiting for more. */
  const isWorth = (at: number, { byteLength }: Uint8Array): boolean =>
    byteLength >= leastPiece || at + byteLength === size || (byteLength > 0 && (at + byteLength) % part.step === 0)

  async function* pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    let since = Date.now()
    for (let at = 0; at < size;) {
      signal.throwIfAborted()
      const piece = part.piece(at)
      const isDue = piece.byteLength > 0 && Date.now() - since >= longestQuietMs
      if (isDue || isWorth(at, piece)) {
        yield piece
        at += piece.byteLength
        since = Date.now()
      } else await new Promise<void>((resolve) => waiting.push(resolve))
    }
  }

  return {
    size,
    pieces,
    signal,
    more,
    giveUp() {
      controller.abort(new StoreError('unavailable', 'The part is given up: its bytes do not come'))
      more()
    },
  }
}
