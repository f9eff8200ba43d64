/**
 * What a locker is: it lets one request at a time work on an upload, in this process or across many.
 *
 * The newest request matters most: it is usually the client that came back while the server still waits on a dead
 * connection. So a waiter asks the holder to give way; the holder flushes what it has and releases.
 */
export interface Locker {
  /**
   * Waits for the id's lock, in order of arrival, and asks the present holder to give way (its `onContention`).
   * @throws `signal.reason` once `signal` aborts before the lock was had.
   */
  acquire(id: string, options: AcquireOptions): Promise<Lock>

  /** Takes the lock if it is free right now, else `null`; never disturbs the holder. */
  tryAcquire(id: string): Promise<Lock | null>

  /**
   * Whether nobody has the lock at this moment, without taking it; false where that is not certain, such as a lock
   * whose holder has died. Spares a HEAD the lock; without it each one takes it.
   */
  isFree?(id: string): boolean | Promise<boolean>
}

/** How long to wait for a lock, and whom to tell that somebody else does. */
export interface AcquireOptions {
  /** Ends the wait. Has no effect once the lock is had. */
  readonly signal: AbortSignal
  /**
   * Called once when somebody else waits for this lock while it is held: finish quickly. It may be called before
   * `acquire` resolves. Must not throw.
   */
  readonly onContention?: () => void
}

/** A lock that is had. */
export interface Lock {
  /**
   * Throws when the lock is no longer this holder's (it was paused for so long that others took over). Called before
   * every write; cheap while all is well. Missing = the lock cannot be lost.
   */
  guard?(): void | Promise<void>
  /** Gives the lock back. Never throws, may be called twice. */
  release(): Promise<void>
}
