/** A hook that did not do what it should: nobody there, no answer in time, an answer that makes no sense. */
export class HookError extends Error {
  override readonly name = 'HookError'
  /** Whether the same may go well a moment later. */
  readonly transient: boolean
  /** The receiver wants no more of this. */
  readonly gone: boolean

  constructor(message: string, options: { transient?: boolean; gone?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.transient = options.transient ?? false
    this.gone = options.gone ?? false
  }
}

/** What went wrong, in one line. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
