import type { HookType } from './types.ts'

/** What is sent for an event. */
export interface Message {
  readonly type: HookType
  /** Names the event: the same each time that it is sent, and for no other. */
  readonly eventId: string
  /** JSON in tusd's format. */
  readonly body: string
  /** Headers of the client's request that go along. */
  readonly headers: Readonly<Record<string, string>>
}

/** The way to the application. */
export interface Transport {
  /** For the log: an address, a folder. */
  readonly name: string
  /** Whether anybody is there for events of this type. */
  handles(type: HookType): boolean
  /**
   * Sends a message once; resolves when it was taken, with the JSON of the answer, or '' for none.
   * @throws HookError when it was not taken, or `signal` ends it.
   */
  send(message: Message, signal: AbortSignal): Promise<string>
}

/** Most bytes of an answer. */
export const maxAnswerBytes = 64 * 1024
