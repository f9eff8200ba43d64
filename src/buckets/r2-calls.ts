import { StoreError } from '../errors.ts'

/** Makes a call that ends when the signal says so, and whose failures are StoreErrors. */
export type Call = <T>(action: string, key: string, signal: AbortSignal, run: () => Promise<T>) => Promise<T>

/** @param name Of the bucket, for messages. */
export function failures(name: string): Call {
  return async (action, key, signal, run) => {
    const what = `${name}: ${action} ${JSON.stringify(key)}`
    let stop: (() => void) | undefined
    try {
      signal.throwIfAborted()
      const stopped = new Promise<never>((_, reject) => {
        stop = () => reject(signal.reason)
        signal.addEventListener('abort', stop)
      })
      return await Promise.race([run(), stopped])
    } catch (error) {
      if (!signal.aborted) throw toStoreError(error, what)
      throw new StoreError('unavailable', `${what} was aborted`, { cause: signal.reason, transient: true })
    } finally {
      if (stop !== undefined) signal.removeEventListener('abort', stop)
    }
  }
}

/** Errors that are answers: the outcome that belongs to the error's code. */
export async function answer<T, O>(promise: Promise<T>, outcomes: Readonly<Record<number, O>>): Promise<T | O> {
  try {
    return await promise
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || !(code in outcomes)) throw error
    return outcomes[code] as O
  }
}

/** R2's own number for what went wrong, which the runtime leaves at the end of the message only. */
export function codeOf(error: unknown): number | undefined {
  const digits = error instanceof Error ? /\((\d+)\)$/.exec(error.message)?.[1] : undefined
  return digits === undefined ? undefined : Number(digits)
}

declare const FixedLengthStream:
  | (new (length: number) => { readonly readable: ReadableStream; readonly writable: WritableStream<Uint8Array> })
  | undefined

/**
 * Sends bytes so that the signal cuts them off: the binding takes no signal, and a part that arrives after it was sent
 * once more would replace that one, under another name.
 */
export async function sendable<T>(
  bytes: Uint8Array,
  signal: AbortSignal,
  send: (value: Uint8Array) => Promise<T>,
): Promise<T> {
  if (typeof FixedLengthStream === 'undefined' || bytes.byteLength === 0) return send(bytes)
  const { readable, writable } = new FixedLengthStream(bytes.byteLength)
  const writer = writable.getWriter()
  const ignore = (): void => {}
  const cut = (): void => void writer.abort(signal.reason).then(undefined, ignore)
  signal.addEventListener('abort', cut)
  try {
    // The binding takes a stream of known length as well, but its type is one thing in Workers and another in the DOM.
    const sent = send(readable as unknown as Uint8Array)
    // Whatever these fail with, `sent` fails with too.
    writer.write(bytes).catch(ignore)
    writer.close().catch(ignore)
    return await sent
  } finally {
    signal.removeEventListener('abort', cut)
  }
}

/** Internal error or one without a number, body incomplete, service unavailable, client gone, too many requests. */
const passing: ReadonlySet<number> = new Set([0, 10001, 10013, 10043, 10054, 10058])

const advice: Readonly<Record<number, string>> = {
  10002: 'the Worker has no access to this bucket; bind it again and deploy',
  10003: 'the Worker has no access to this bucket; bind it again and deploy',
  10006: 'the bucket does not exist; create it, or correct bucket_name in the binding',
  10042: 'the account has no R2 subscription; enable R2 in the dashboard',
  10069: 'a bucket lock rule protects this object; records change and are removed, keep their prefix out of such rules',
}

export function toStoreError(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const message = error instanceof Error ? error.message : String(error)
  const code = codeOf(error)
  if (code !== undefined) {
    const hint = advice[code]
    const text = `${what} failed: ${message}${hint === undefined ? '' : `: ${hint}`}`
    return new StoreError('unavailable', text, { cause: error, transient: passing.has(code) })
  }
  if (/too many subrequests/i.test(message)) {
    const hint = 'a request to a Worker may make so many calls; send less in one request, or larger parts'
    return new StoreError('unavailable', `${what} failed: ${message} (${hint})`, { cause: error })
  }
  // Without a number it comes from the runtime: a lost connection, or an argument that it does not take.
  const transient = !(error instanceof TypeError || error instanceof RangeError)
  return new StoreError('unavailable', `${what} failed: ${message}`, { cause: error, transient })
}
