import type { MessagePort } from 'node:worker_threads'

/** What can be called: by name, with values that can be sent between threads. */
export type Methods = Readonly<Record<string, (...args: never[]) => unknown>>

/** The same from the other side of a port: everything takes a moment. */
export type Remote<M extends Methods> = {
  readonly [K in keyof M]: (...args: Parameters<M[K]>) => Promise<Awaited<ReturnType<M[K]>>>
}

type Message =
  | { readonly type: 'call'; readonly id: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failure'; readonly id: number; readonly message: string }

/**
 * Lets two threads call each other over a port: `own` is what the other one may call here.
 * @param timeoutMs Milliseconds after which a call that was not answered fails.
 * @param onLate Told of what came of such a call after all: it may have to be undone.
 */
export function connectPort<Theirs extends Methods>(
  port: MessagePort,
  own: Methods,
  timeoutMs: number,
  onLate: (method: string, args: readonly unknown[], value: unknown) => void = () => {},
): Remote<Theirs> {
  const waiting = new Map<number, (message: Message) => void>()
  let calls = 0
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port knows no origins
  const send = (message: Message) => port.postMessage(message)

  const answer = async (id: number, method: string, args: readonly unknown[]) => {
    try {
      send({ type: 'result', id, value: await own[method]?.(...(args as never[])) })
    } catch (error) {
      send({ type: 'failure', id, message: error instanceof Error ? error.message : String(error) })
    }
  }
  port.on('message', (message: Message) => {
    if (message.type === 'call') void answer(message.id, message.method, message.args)
    else waiting.get(message.id)?.(message)
  })
  // It shall not keep a thread that has nothing else to do.
  port.unref()

  const call = (method: string, args: readonly unknown[]) =>
    new Promise<unknown>((resolve, reject) => {
      const id = ++calls
      const timer = setTimeout(() => {
        settle({ type: 'failure', id, message: 'a thread does not answer' })
        waiting.set(id, (message) => {
          waiting.delete(id)
          if (message.type === 'result') onLate(method, args, message.value)
        })
      }, timeoutMs)
      const settle = (message: Message) => {
        clearTimeout(timer)
        waiting.delete(id)
        if (message.type === 'result') resolve(message.value)
        else if (message.type === 'failure') reject(new Error(message.message))
      }
      waiting.set(id, settle)
      send({ type: 'call', id, method, args })
    })
  return new Proxy({} as Remote<Theirs>, {
    get: (_, method) => (typeof method === 'string' ? (...args: unknown[]) => call(method, args) : undefined),
  })
}
