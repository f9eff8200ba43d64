/** Runs the suites on a runtime and a store and tells each case's outcome, without a test runner: any runtime does it. */
import { runCase, type StoreRow, type Transport } from '../suite-context.ts'
import { suites } from '../suites/index.ts'
import { within } from '../suites/support.ts'

export interface Outcome {
  readonly title: string
  /** Null where it passed. */
  readonly failure: string | null
  readonly ms: number
}

export interface Selection {
  /** Leaves out cases that are slow by what they wait for, and not by what the store does. */
  readonly isQuick?: boolean
  /** Only cases whose title contains it. */
  readonly only?: string
  /** No case whose title matches this regular expression. */
  readonly except?: string
}

/** Cases that only wait, or do much without touching the store's own code: once per runtime is enough. */
const slow =
  /^(200 uploads at the same time|300 malformed requests|PATCH a little faster than minRate|PATCH slower in all than)/

export function isLeftOut(suite: string, title: string, { isQuick = false, only = '', except = '^$' }: Selection) {
  const full = `${suite}: ${title}`
  return (isQuick && slow.test(title)) || !full.includes(only) || new RegExp(except).test(full)
}

/** @returns How many cases were left out. */
export async function runAll(
  transport: Transport,
  row: StoreRow,
  selection: Selection,
  onOutcome: (outcome: Outcome) => void | Promise<void>,
): Promise<number> {
  let left = 0
  for (const { name, cases } of suites) {
    for (const each of cases) {
      const title = `${name}: ${each.title}`
      if (isLeftOut(name, each.title, selection)) {
        left++
        continue
      }
      const started = Date.now()
      // On a machine that has much else to do those that are slow take their time.
      const mostMs = slow.test(each.title) ? 120_000 : 30_000
      const failure = await within(runCase(each, transport, row), 'the case', mostMs).then(() => null, describe)
      await onOutcome({ title, failure, ms: Date.now() - started })
    }
  }
  return left
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${describe(error.cause)}`
  return `${error.stack ?? `${error.name}: ${error.message}`}${cause}`
}
