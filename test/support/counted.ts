/** The body, with its bytes told as they are taken. No generator: it would wait for its chunk before it could be ended. */
export function counted(body: AsyncIterable<Uint8Array>, onTaken: (size: number) => void): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = body[Symbol.asyncIterator]()
      return {
        async next() {
          const result = await iterator.next()
          if (result.done !== true) onTaken(result.value.byteLength)
          return result
        },
        async return() {
          return (await iterator.return?.()) ?? { done: true, value: undefined }
        },
      }
    },
  }
}
