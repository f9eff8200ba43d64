/** Where a Node server spends its main thread's time: one workload under `--cpu-prof`, summed by function and file. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Measurement } from './measure.ts'

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  /** Microseconds of the system's monotonic clock. */
  readonly startTime: number
  /** The node on top of the stack at each sample, and the microseconds before it. */
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Measures once and returns the top of the profile as text. The thread pool's time is not in it. */
export async function profile(
  measureOnce: (nodeOptions: readonly string[]) => Promise<Measurement>,
  scratch: string,
): Promise<{ measurement: Measurement; text: string }> {
  const folder = await mkdtemp(join(scratch, 'profile-'))
  try {
    const nodeOptions = ['--cpu-prof', '--cpu-prof-interval=250', `--cpu-prof-dir=${folder}`]
    const measurement = await measureOnce(nodeOptions)
    const [file] = await readdir(folder)
    if (file === undefined) throw new Error('the server wrote no profile: it did not end by itself on SIGTERM')
    const taken = JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile
    return { measurement, text: topOf(taken, measurement.window) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function topOf({ nodes, startTime, samples, timeDeltas }: CpuProfile, window: Measurement['window']): string {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const byFunction = new Map<string, number>()
  const byFile = new Map<string, number>()
  let busy = 0
  let now = startTime
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id)
    const time = timeDeltas[index] ?? 0
    now += time
    const isMeasured = now >= window.start && now <= window.end
    if (!isMeasured || frame === undefined || frame.functionName === '(idle)') continue
    busy += time
    const file = shortName(frame.url) || 'native'
    const place = frame.url === '' ? '' : `  ${file}:${frame.lineNumber + 1}`
    add(byFunction, `${frame.functionName || '(anonymous)'}${place}`, time)
    add(byFile, file === 'native' ? frame.functionName || file : file, time)
  }
  return [
    `Self time by function, of ${(busy / 1e6).toFixed(2)} s in which the main thread was busy or waited for a core:`,
    ...top(byFunction, busy, 30),
    'By file:',
    ...top(byFile, busy, 20),
  ].join('\n')
}

function top(times: Map<string, number>, whole: number, count: number): string[] {
  const sorted = [...times].sort(([, a], [, b]) => b - a).slice(0, count)
  return sorted.map(([name, time]) => `  ${((100 * time) / whole).toFixed(1).padStart(5)} %  ${name}`)
}

function shortName(url: string): string {
  if (!url.startsWith('file://')) return url
  return relative(join(import.meta.dirname, '..'), new URL(url).pathname)
}

function add(times: Map<string, number>, name: string, time: number): void {
  times.set(name, (times.get(name) ?? 0) + time)
}
