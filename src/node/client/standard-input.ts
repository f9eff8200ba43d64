import type { FileReader, FileSource, SliceResult } from 'tus-js-client'

/**
 * Lets tus-js-client read a stream of unknown length. Its own source for streams waits for ever where a stream ends at
 * the end of a chunk, and so never tells the length; this one looks a byte ahead.
 */
export function streamReader(): FileReader {
  return { openFile: (input: AsyncIterable<Buffer>) => Promise.resolve(createSource(input)) }
}

/** Keeps what it returned last, and what it read beyond: tus-js-client asks again for what was not stored. */
function createSource(input: AsyncIterable<Buffer>): FileSource {
  const chunks = input[Symbol.asyncIterator]()
  let kept: Buffer = Buffer.alloc(0)
  /** Where `kept` begins in the stream. */
  let position = 0
  let ended = false
  return {
    // Told by `done`; the types know no streams.
    size: null as unknown as number,
    async slice(start, end): Promise<SliceResult> {
      if (start < position || start > position + kept.length) {
        throw new Error('the server lost bytes that are no longer here')
      }
      kept = kept.subarray(start - position)
      position = start
      const wanted = end - start
      const pieces = [kept]
      let length = kept.length
      while (!ended && length <= wanted) {
        const next = await chunks.next()
        if (next.done === true) ended = true
        else {
          pieces.push(next.value)
          length += next.value.length
        }
      }
      kept = Buffer.concat(pieces)
      const value = kept.subarray(0, wanted)
      return { value: Object.assign(value, { size: value.length }), done: ended && kept.length <= wanted }
    },
    close: () => void chunks.return?.(),
  }
}
