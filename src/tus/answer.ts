import type { Platform } from '../platform.ts'
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
  readonly platform: Platform | undefined
  readonly locator: Locator
}
