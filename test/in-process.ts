/** Requests in process: a Request in, a Response out, no server in between. */
import type { TusHandler } from '../src/index.ts'
import type { Connection, Transport } from './suite-context.ts'
import type { Init } from './suites/support.ts'

const origin = 'http://uploads.test'

export const inProcess: Transport = { name: 'in process', capabilities: { trailers: false, answerLength: true }, open }

/** What is freed is not there any more: whoever reads it all the same has wrong bytes. */
export function spoilChunk(chunk: Uint8Array): void {
  chunk.fill(0x21)
}

function open(handler: TusHandler): Promise<Connection> {
  let taken = 0
  const takenOf = new WeakMap<ReadableStream, number>()
  const fetch = async (target: string, init: Init) => {
    const headers = new Headers(init.headers)
    const { method = 'GET', body, signal } = init
    if (body instanceof Uint8Array) headers.set('Content-Length', String(body.length))
    const count = (of: ReadableStream) => (size: number) => {
      taken += size
      takenOf.set(of, (takenOf.get(of) ?? 0) + size)
    }
    const stream = body instanceof ReadableStream ? counted(body, signal, count(body)) : body
    const request: RequestInit & { duplex?: 'half' } = {
      method,
      headers,
      ...(stream === undefined ? {} : { body: stream, duplex: 'half' }),
      ...(signal === undefined ? {} : { signal }),
    }
    const answer = handler(new Request(new URL(target, origin), request), { freeChunk: spoilChunk })
    return signal === undefined ? await answer : await Promise.race([answer, rejection(signal)])
  }
  return Promise.resolve({
    origin,
    fetch,
    fetchRaw: fetch,
    taken: (body) => (body === undefined ? taken : (takenOf.get(body) ?? 0)),
    close: () => Promise.resolve(),
  })
}

/** The stream, counted as it is taken, and broken as a runtime breaks it when the client has gone. */
function counted(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  onTaken: (size: number) => void,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader()
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        signal?.addEventListener('abort', () => controller.error(signal.reason))
      },
      async pull(controller) {
        const { done, value } = await reader.read()
        if (signal?.aborted === true) return
        if (done) {
          controller.close()
          return
        }
        // The case looks at its own bytes again.
        controller.enqueue(value.slice())
        onTaken(value.byteLength)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () =>
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted')),
    )
  })
}
