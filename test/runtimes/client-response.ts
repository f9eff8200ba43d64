/** The answer's half of the client in client.ts. */
import { concat, type Wire } from './wire.ts'

export interface Head {
  readonly status: number
  readonly headers: Headers
  /** Bytes of the body that came with the head. */
  readonly rest: Uint8Array
}

/** Skips interim answers. */
export async function readHead(wire: Wire): Promise<Head> {
  let bytes: Uint8Array = new Uint8Array(0)
  for (;;) {
    const end = indexOf(bytes, [13, 10, 13, 10])
    if (end < 0) {
      const more = await wire.read()
      if (more === null) throw new TypeError(`the connection was closed after ${bytes.length} bytes of an answer`)
      bytes = concat([bytes, more])
      continue
    }
    const [line = '', ...lines] = latin1(bytes.subarray(0, end)).split('\r\n')
    bytes = bytes.subarray(end + 4)
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1])
    if (Number.isNaN(status)) throw new TypeError(`not an answer: ${line}`)
    if (status < 200) continue
    const headers = new Headers()
    for (const each of lines) headers.append(each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 1).trim())
    return { status, headers, rest: bytes }
  }
}

export interface BodyEvents {
  readonly aborted: Promise<never>
  /** To be called when nothing more is to come or wanted. */
  readonly stop: (reason: unknown) => void
}

/** A stream that is read only as far as it is wanted. */
export function readBody(
  wire: Wire,
  headers: Headers,
  rest: Uint8Array,
  { aborted, stop }: BodyEvents,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const length = headers.get('Content-Length')
  const source =
    headers.get('Transfer-Encoding') === 'chunked'
      ? chunks(bytesOf(wire, rest))
      : limited(bytesOf(wire, rest), length === null ? null : Number(length))
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = await Promise.race([source.next(), aborted])
          if (done !== true) controller.enqueue(new Uint8Array(value))
          else {
            stop(new Error('the answer is complete'))
            controller.close()
          }
        } catch (error) {
          stop(error)
          controller.error(error)
        }
      },
      cancel: stop,
    },
    { highWaterMark: 1 },
  )
}

async function* bytesOf(wire: Wire, rest: Uint8Array): AsyncGenerator<Uint8Array, void> {
  if (rest.length > 0) yield rest
  for (;;) {
    const bytes = await wire.read()
    if (bytes === null) return
    if (bytes.length > 0) yield bytes
  }
}

async function* limited(source: AsyncGenerator<Uint8Array, void>, length: number | null): AsyncGenerator<Uint8Array> {
  let left = length ?? Infinity
  while (left > 0) {
    const { done, value } = await source.next()
    if (done === true) {
      if (length !== null) throw new TypeError(`the connection was closed ${left} bytes before the end of the answer`)
      return
    }
    yield value.subarray(0, left)
    left -= value.length
  }
}

async function* chunks(source: AsyncGenerator<Uint8Array, void>): AsyncGenerator<Uint8Array> {
  let buffer: Uint8Array = new Uint8Array(0)
  const more = async (): Promise<void> => {
    const { done, value } = await source.next()
    if (done === true) throw new TypeError('the connection was closed in the middle of a chunked answer')
    buffer = buffer.length === 0 ? value : concat([buffer, value])
  }
  for (;;) {
    let end = indexOf(buffer, [13, 10])
    for (; end < 0; end = indexOf(buffer, [13, 10])) await more()
    const size = Number.parseInt(latin1(buffer.subarray(0, end)), 16)
    if (Number.isNaN(size)) throw new TypeError('a chunk without a size')
    buffer = buffer.subarray(end + 2)
    // Servers under test send no trailers.
    if (size === 0) return
    let left = size
    while (left > 0) {
      if (buffer.length === 0) await more()
      const part = buffer.subarray(0, left)
      left -= part.length
      buffer = buffer.subarray(part.length)
      yield part
    }
    while (buffer.length < 2) await more()
    buffer = buffer.subarray(2)
  }
}

function indexOf(bytes: Uint8Array, wanted: readonly number[]): number {
  for (let at = bytes.indexOf(wanted[0] ?? 0); at >= 0; at = bytes.indexOf(wanted[0] ?? 0, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at
  }
  return -1
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}
