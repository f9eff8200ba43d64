import type { Platform } from '../platform.ts'
import type { Caller } from '../upload/caller.ts'
import type { Context } from '../upload/context.ts'
import type { Locator } from '../location.ts'

/** A response before it becomes one: what all answers share is added in `handler.ts`. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | ReadableStream<Uint8Array>
}

/** A request with what was found out about it on the way to its method. */
export interface Call {
  readonly context: Context
  readonly request: Request
  readonly caller: Caller
  readonly platform: Platform | undefined
  readonly locator: Locator
}

/** Headers of the protocol, and those that follow from it. */
const reserved = /^(?:tus-.*|upload-.*|content-length|cache-control|x-content-type-options)$/i

/** An answer to a request that went well, with what hooks have added to it. */
export function withReply(answer: Answer, { reply }: Caller): Answer {
  if (reply === null) return answer
  const { headers, body } = reply
  const status = reply.status ?? (body !== undefined && answer.status === 204 ? 200 : answer.status)
  const own = new Set(Object.keys(answer.headers ?? {}).map((name) => name.toLowerCase()))
  const added = Object.entries(headers ?? {}).filter(([name]) => !own.has(name.toLowerCase()) && !reserved.test(name))
  return { status, headers: { ...Object.fromEntries(added), ...answer.headers }, ...(body !== undefined && { body }) }
}
