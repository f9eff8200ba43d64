/** What of the protocol suite runs where: suites.runs.ts runs it, and the tables of the README say it. */
import { suites } from '../suites/index.ts'
import type { Task } from './child.ts'
import { isLeftOut, type Selection } from './run.ts'

/** What a framework answers before the handler is asked, or a runtime cannot carry to it. */
const undecodable = '^ids: every method on /files/(%(c0|e0|ff|ed|zz)|%2?: |a%: )'
const backslashes = String.raw`^ids: every method on /files/\.\.\\`
/** Next.js sends these to another place. */
const emptySegments = '^ids: every method on /files/(a//b|/)'
/** Next.js says its own port beside such a host, and takes the scheme from them in any case. */
const forwarded =
  '^Location: POST (with forwarded headers, not|behind a prefix|with [{]"[\\w-]+":"[^"]*up.example.com(, inner)?"[}])'
/** A request that is cut or slow reaches no function, an answer is made whole first, and the scheme is always https. */
const streamed =
  '^(interruption|pace): (?!PATCH quicker)|^locking: (every request|PATCH after a HEAD that gave up)|connection breaks' +
  '|broken right there|without end|stands still|gives way to|given up half-way|\\(seed |removes the upload while the' +
  '|declares one byte more than the length|(final upload|sweep\\(\\)) beside a PATCH' +
  '|is answered so and nothing is changed or disturbed|trusted: http:|behind a prefix'

/** Quick, on the memory store of Node 24. apps.runs.ts and limits.runs.ts look at what is left out. */
const mounts = {
  express: '^$',
  fastify: undecodable,
  hono: backslashes,
  nextjs: [undecodable, backslashes, emptySegments, forwarded].join('|'),
  sveltekit: undecodable,
  lambda: streamed,
} as const satisfies Partial<Record<NonNullable<Task['server']>, string>>

export type Mount = keyof typeof mounts

export interface Run {
  /** A name of programs.ts. */
  readonly runtime: 'Node 22' | 'Node 24' | 'Node 26' | 'Bun' | 'Deno'
  readonly task: Omit<Task, 'options'>
}

const everywhere = (runtime: Run['runtime'], slow: Task['store'], quick: readonly Task['store'][]): Run[] => [
  { runtime, task: { store: slow } },
  ...quick.map((store) => ({ runtime, task: { store, isQuick: true } })),
]

/** Beside what `npm test` runs, which is every store on Node 24. */
export const plan: readonly Run[] = [
  ...everywhere('Node 22', 'fs', ['memory', 's3']),
  ...everywhere('Node 24', 'fs', []),
  ...everywhere('Node 26', 'fs', ['memory', 's3']),
  ...everywhere('Bun', 'memory', ['fs', 's3', 'gcs', 'azure']),
  ...everywhere('Deno', 'memory', ['fs', 's3', 'gcs', 'azure']),
  ...Object.entries(mounts).map(([server, except]): Run => ({
    runtime: 'Node 24',
    task: { store: 'memory', server: server as Mount, isQuick: true, except },
  })),
]

/** Likewise, on workerd. */
export const workerdPlan = [
  { name: 'workerd', store: 'r2', options: { nodejsCompat: false } },
  { name: 'workerd, Durable Objects', store: 'r2', options: { nodejsCompat: false, locks: 'durable-object' } },
  { name: 'workerd', store: 's3', options: { nodejsCompat: false, isQuick: true } },
  { name: 'workerd, nodejs_compat', store: 's3', options: { nodejsCompat: true, isQuick: true } },
] as const

/** All cases there are, and how many of them a selection runs. */
export function countCases(selection: Selection = {}): number {
  const titles = suites.flatMap(({ name, cases }) => cases.map((each) => [name, each.title] as const))
  return titles.filter(([name, title]) => !isLeftOut(name, title, selection)).length
}
