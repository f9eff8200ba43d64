import pRetry from 'p-retry'
import { TusError } from '../../errors.ts'
import { type Answer, readAnswer } from './answer.ts'
import { startDeadline } from './deadline.ts'
import { HookError, reasonOf } from './failure.ts'
import type { Message, Transport } from './transport.ts'

interface Patience {
  /** Milliseconds for all of it. */
  readonly timeoutMs: number
  /** Most times that it is tried again. */
  readonly retries: number
}

/**
 * Asks, and waits for the answer. What fails in passing is tried again, after growing, random pauses.
 * @param read What the answer means; may throw.
 * @throws HookError that says which hook failed, and why; TusError where `read` does.
 */
export async function ask<T>(
  transport: Transport,
  message: Message,
  { timeoutMs, retries }: Patience,
  read: (answer: Answer) => T,
): Promise<T> {
  using deadline = startDeadline(timeoutMs)
  const { signal } = deadline
  try {
    const answer = await pRetry(async () => readAnswer(await transport.send(message, signal)), {
      retries,
      minTimeout: 500,
      factor: 2,
      randomize: true,
      signal,
      shouldRetry: ({ error }) => error instanceof HookError && error.transient,
    })
    return read(answer)
  } catch (error) {
    if (error instanceof TusError) throw error
    const reason = signal.aborted ? `no answer within ${timeoutMs / 1000} s` : reasonOf(error)
    throw new HookError(`The hook ${message.type} at ${transport.name} failed: ${reason}`, { cause: error })
  }
}
