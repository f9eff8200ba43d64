/** Who sends how much: one for the process, whichever of its threads serves. */

/** The limits; 0 = none. */
export interface QuotaLimits {
  /** Uploads with a body running, all clients together. */
  readonly active: number
  /** The same for one client. */
  readonly activePerClient: number
  /** Bytes that one client may send in a period. */
  readonly bytesPerClient: number
  /** Milliseconds of such a period, which begins with the client's first byte. */
  readonly periodMs: number
}

/** Why a body may not be sent now. */
export interface Refusal {
  readonly limit: 'active' | 'active_per_client' | 'bytes_per_client'
  /** Seconds after which it may. A guess, where it depends on others. */
  readonly retryAfter: number
}

/** Bytes that a client may still send, or why it may not. */
export type Charge = number | Refusal

/** Keeps account of bodies and their bytes. */
export interface Ledger {
  /**
   * Asks for a place for a body. `slot` names what it goes to: a client's second body for the same upload, which takes
   * over from the first, needs no place of its own.
   */
  enter(client: string, slot: string): Refusal | null | Promise<Refusal | null>
  /** Gives the place back. */
  leave(client: string, slot: string): void
  /** Notes bytes that arrived. Tells how many more may come; why none, when the client has sent more than its share. */
  charge(client: string, bytes: number): Charge | Promise<Charge>
}

interface Account {
  /** Bodies by slot. */
  readonly slots: Map<string, number>
  /** Bytes of the present period. */
  bytes: number
  /** When that ends; 0 = none has begun. */
  periodEnds: number
}

/** Clients should ask again, but not at once: how long others take is not known. */
const retryAfterSeconds = 5
/** Accounts looked at, at each new one, whether they can go. */
const tidied = 4

/** @param now Milliseconds, never going back. */
export function createLedger(limits: QuotaLimits, now: () => number = () => performance.now()): Ledger {
  const { active, activePerClient, bytesPerClient, periodMs } = limits
  /** The one that was opened first comes first. */
  const accounts = new Map<string, Account>()
  let slots = 0

  const isIdle = (account: Account) => account.slots.size === 0 && account.periodEnds <= now()
  const tidy = () => {
    const oldest = accounts.entries()
    for (let n = 0; n < tidied; n++) {
      const { done, value } = oldest.next()
      if (done === true) return
      const [client, account] = value
      accounts.delete(client)
      // Behind the others, to be looked at again later.
      if (!isIdle(account)) accounts.set(client, account)
    }
  }
  const accountOf = (client: string): Account => {
    const known = accounts.get(client)
    if (known !== undefined) return known
    tidy()
    const account: Account = { slots: new Map(), bytes: 0, periodEnds: 0 }
    accounts.set(client, account)
    return account
  }
  /** @param limit Bytes at which it is refused. */
  const spent = (account: Account | undefined, limit = bytesPerClient): Refusal | null => {
    if (bytesPerClient === 0 || account === undefined) return null
    const left = account.periodEnds - now()
    if (left <= 0 || account.bytes < limit) return null
    return { limit: 'bytes_per_client', retryAfter: Math.max(1, Math.ceil(left / 1000)) }
  }

  return {
    enter(client, slot) {
      const known = accounts.get(client)
      const bodies = known?.slots.get(slot) ?? 0
      if (bodies === 0) {
        if (active > 0 && slots >= active) return { limit: 'active', retryAfter: retryAfterSeconds }
        if (activePerClient > 0 && (known?.slots.size ?? 0) >= activePerClient) {
          return { limit: 'active_per_client', retryAfter: retryAfterSeconds }
        }
      }
      const refusal = spent(known)
      if (refusal !== null) return refusal
      if (bodies === 0) slots++
      accountOf(client).slots.set(slot, bodies + 1)
      return null
    },

    leave(client, slot) {
      const account = accounts.get(client)
      const bodies = account?.slots.get(slot)
      if (account === undefined || bodies === undefined) return
      if (bodies > 1) account.slots.set(slot, bodies - 1)
      else {
        account.slots.delete(slot)
        slots--
      }
      if (isIdle(account)) accounts.delete(client)
    },

    charge(client, bytes) {
      if (bytesPerClient === 0) return Infinity
      const account = accountOf(client)
      if (account.periodEnds <= now()) {
        account.bytes = 0
        account.periodEnds = now() + periodMs
      }
      account.bytes += bytes
      // All that it may have is not too much.
      return spent(account, bytesPerClient + 1) ?? bytesPerClient - account.bytes
    },
  }
}
