/** What waits for something to come about. */
export interface Waits {
  /** Resolves once this holds, or when it never will any more. */
  readonly until: (holds: () => boolean) => Promise<void>
  /** Something has changed. */
  readonly wake: () => void
}

/** @param isOver Whether nothing comes about any more. */
export function createWaits(isOver: () => boolean): Waits {
  const wakes: (() => void)[] = []
  return {
    async until(holds) {
      while (!holds() && !isOver()) await new Promise<void>((resolve) => wakes.push(resolve))
    },
    wake() {
      for (const resolve of wakes.splice(0)) resolve()
    },
  }
}
