/** Rounds in, tables and targets out. */
import type { Measurement } from './measure.ts'
import type { BenchServer, ServerId } from './servers.ts'
import type { Workload, WorkloadName } from './workloads.ts'

/** One server's rounds of one workload; `undefined` where a round failed. */
export type Rounds = (Measurement | undefined)[]
export type Results = Map<WorkloadName, Map<ServerId, Rounds>>

interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Others on the machine above this share make a round's figures doubtful. */
const noisy = 0.15

export function workloadTable(workload: Workload, servers: readonly BenchServer[], results: Results): string {
  const rounds = results.get(workload.name)
  const rows = [
    [
      '',
      workload.unit,
      'x @tus/server',
      'x tusd',
      `CPU s/${workload.cpuPer}`,
      'x @tus/server',
      'peak MiB',
      'p99 ms',
      'load',
      'others',
    ],
  ]
  const hasStorage = [...(rounds?.values() ?? [])].flat().some((round) => round?.storage !== undefined)
  if (hasStorage) rows[0]?.push('storage')
  for (const { id, title } of servers) {
    const own = rounds?.get(id)
    if (own === undefined) continue
    if (own.every((round) => round === undefined)) {
      rows.push([title, 'failed'])
      continue
    }
    const others = spread(own.map((round) => round?.others))
    rows.push([
      title,
      show(spread(own.map((round) => round?.rate))),
      id === 'tus-node' ? '1' : show(ratio(own, rounds?.get('tus-node'), 'rate')),
      id === 'tusd' ? '1' : show(ratio(own, rounds?.get('tusd'), 'rate')),
      show(spread(own.map((round) => round?.cpu))),
      id === 'tus-node' ? '1' : show(ratio(own, rounds?.get('tus-node'), 'cpu')),
      show(spread(own.map((round) => round?.peakMiB))),
      show(spread(own.map((round) => round?.p99))),
      percent(spread(own.map((round) => round?.load))),
      percent(others) + (others !== undefined && others.median > noisy ? ' !' : ''),
      ...(hasStorage ? [percent(spread(own.map((round) => round?.storage)))] : []),
    ])
  }
  return `${workload.name}: ${workload.title}\n${align(rows)}`
}

/** What the project set out to reach. */
export const fileTargets: readonly Target[] = [
  ...(['big', 'parallel'] as const).flatMap((workload): Target[] => [
    { workload, peer: 'tus-node', field: 'rate', atLeast: 1.5 },
    { workload, peer: 'tus-node', field: 'cpu', atMost: 0.6 },
  ]),
  { workload: 'small', peer: 'tus-node', field: 'rate', atLeast: 2 },
  { workload: 'chunks', peer: 'tus-node', field: 'rate', atLeast: 2 },
  { workload: 'head', peer: 'tus-node', field: 'rate', atLeast: 3 },
  ...(['big', 'parallel', 'small', 'chunks', 'head'] as const).flatMap((workload): Target[] => [
    { workload, peer: 'tusd', field: 'rate', atLeast: 1 },
    { workload, field: 'peakMiB', atMost: 150 },
  ]),
]

/** The server with what watches or limits it, beside one without. */
export const watchTargets: readonly Target[] = (['big', 'parallel', 'small', 'chunks', 'head'] as const).flatMap(
  (workload): Target[] => [
    { workload, peer: 'plain', field: 'rate', atLeast: 0.95 },
    { workload, peer: 'plain', field: 'cpu', atMost: 1.05 },
    { workload, peer: 'plain', field: 'p99', atMost: 1.05 },
  ],
)

/** The same on object storage. */
export const storageTargets: readonly Target[] = [
  ...(['big', 'eights', 'parallel'] as const).flatMap((workload) =>
    (['tus-node', 'tusd'] as const).flatMap((peer): Target[] => [
      { workload, peer, field: 'rate', atLeast: 1 },
      { workload, peer, field: 'cpu', atMost: 1 },
    ]),
  ),
  { workload: 'parallel', field: 'peakMiB', atMost: 200 },
  { workload: 'many', field: 'peakMiB', atMost: 512 + 150 },
]

type Field = 'rate' | 'cpu' | 'peakMiB' | 'p99'

export interface Target {
  readonly workload: WorkloadName
  readonly peer?: 'tus-node' | 'tusd' | 'plain'
  readonly field: Field
  readonly atLeast?: number
  readonly atMost?: number
}

/** Each target for `server`: met or missed, and by what figure; those that were not measured are left out. */
export function targetTable(server: ServerId, results: Results, targets: readonly Target[]): string {
  const rows: string[][] = []
  for (const { workload, peer, field, atLeast, atMost } of targets) {
    const rounds = results.get(workload)
    const own = rounds?.get(server) ?? []
    const figure = (peer ? ratio(own, rounds?.get(peer), field) : spread(own.map((round) => round?.[field])))?.median
    if (figure === undefined) continue
    const isMet = figure >= (atLeast ?? 0) && figure <= (atMost ?? Infinity)
    const limit = `${atLeast === undefined ? 'at most' : 'at least'} ${atLeast ?? atMost}`
    const unit = peer === undefined ? ' MiB' : ` x ${peer === 'tus-node' ? '@tus/server' : peer}`
    const what = { rate: 'rate', cpu: 'CPU', peakMiB: 'peak memory', p99: 'p99' }[field]
    rows.push([isMet ? 'met' : 'MISSED', workload, what, `${limit}${unit}`, `is ${figure.toPrecision(3)}`])
  }
  return align(rows)
}

/** Round by round, so that what slowed a whole round down cancels out. */
function ratio(own: Rounds, peer: Rounds | undefined, field: Field): Spread | undefined {
  return spread(
    own.map((round, index) => {
      const [mine, theirs] = [round?.[field], peer?.[index]?.[field]]
      return mine === undefined || !theirs ? undefined : mine / theirs
    }),
  )
}

function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) return undefined
  const upper = sorted[Math.floor(sorted.length / 2)]!
  const lower = sorted[Math.floor((sorted.length - 1) / 2)]!
  return { median: (lower + upper) / 2, min, max }
}

function show(spread: Spread | undefined): string {
  if (spread === undefined) return '-'
  const [median, min, max] = [number(spread.median), number(spread.min), number(spread.max)]
  return min === max ? median : `${median} (${min}..${max})`
}

function percent(spread: Spread | undefined): string {
  return spread === undefined ? '-' : `${Math.round(spread.median * 100)} %`
}

function number(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function align(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)))
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd()).join('\n')
}
