/** What came out on each runtime and store, for the table at the end. */

export interface Row {
  readonly runtime: string
  readonly store: string
  readonly passed: number
  readonly failed: number
  /** Run elsewhere on this runtime, or answered by a framework before the handler is asked. */
  readonly left: number
  readonly seconds: number
}

const rows: Row[] = []

export function onRow(row: Row): void {
  rows.push(row)
}

export function printTable(): void {
  const sorted = rows.toSorted((a, b) => `${a.runtime} ${a.store}`.localeCompare(`${b.runtime} ${b.store}`))
  const head = ['runtime', 'store', 'passed', 'failed', 'left out', 'seconds']
  const lines = sorted.map(({ runtime, store, passed, failed, left, seconds }) =>
    [runtime, store, passed, failed, left, seconds.toFixed(1)].map(String),
  )
  console.log(`\n${table(head, lines, 2)}\n`)
}

/** @param texts How many of the first columns are no numbers. */
export function table(head: readonly string[], lines: readonly (readonly string[])[], texts: number): string {
  const widths = head.map((name, i) => Math.max(name.length, ...lines.map((line) => (line[i] ?? '').length)))
  const write = (line: readonly string[]) =>
    `| ${line.map((cell, i) => (i < texts ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  return [write(head), write(widths.map((width) => '-'.repeat(width))), ...lines.map(write)].join('\n')
}
