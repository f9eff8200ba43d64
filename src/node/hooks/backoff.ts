const firstMs = 1_000
const mostMs = 5 * 60_000

/** Milliseconds until the next try, after so many in vain: doubled each time up to five minutes, with jitter. */
export function backoffMs(attempts: number): number {
  const most = Math.min(firstMs * 2 ** (attempts - 1), mostMs)
  return Math.round(most / 2 + (Math.random() * most) / 2)
}
