/**
 * `npm run bench`: fileloft beside other tus servers on this machine. docs/benchmark.md says what is measured.
 */
import { rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { relative } from 'node:path'
import { parseArgs } from 'node:util'
import { makeScratch, measure, type Measurement } from './measure.ts'
import { profile } from './profile.ts'
import { fileTargets, type Results, targetTable, watchTargets, workloadTable } from './report.ts'
import {
  type BenchServer,
  benchServers,
  type Command,
  ourCommand,
  type ServerId,
  serverIds,
  usualServers,
} from './servers.ts'
import { requestCases } from './storage/requests.ts'
import { profileStorage, runStorages, type StoragePlan } from './storage/run.ts'
import { storageServerIds } from './storage/servers.ts'
import { type StorageName, storageNames } from './storage/storage.ts'
import {
  fileWorkloads,
  fullSizes,
  quickSizes,
  type Sizes,
  storageWorkloads,
  type Workload,
  workloadNames,
  workloads,
} from './workloads.ts'

const usage = `npm run bench -- [options]
  --only NAMES        servers and workloads to run, comma-separated
                      servers: ${serverIds.join(', ')};
                      ${usualServers.join(', ')} unless some are named
                      workloads: ${workloadNames.join(', ')};
                      ${fileWorkloads.join(', ')} unless some are named
  --storage NAMES     on object storage instead of files: ${storageNames.join(', ')}, comma-separated, or all
                      --only then takes ${storageServerIds.join(', ')}, ${storageWorkloads.join(', ')}, requests
  --rounds N          rounds, each server once per round; default 3
  --size SIZE         bytes of the big upload, and of the 16 parallel ones together; default 1GiB
  --times N           so many times the requests of small, chunks and head: what they cost once all code is compiled
  --dir PATH          where the servers store; default the system's folder for temporary files
  --profile WORKLOAD  instead: that workload once under --cpu-prof, and what takes the time (fileloft, or --only)
  --quick             tiny sizes, one round: shows that everything works, the figures mean nothing`

interface Plan {
  readonly servers: readonly BenchServer[]
  readonly workloads: readonly Workload[]
  readonly rounds: number
  readonly directory: string
  readonly profile: Workload | undefined
  readonly storage: Omit<StoragePlan, 'scratch'>
}

async function main(): Promise<void> {
  const plan = parse()
  if (plan === null) return
  const scratch = await makeScratch(plan.directory)
  // However it ends, also by a signal; the servers are gone by then.
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
  const isStorage = plan.storage.storages.length > 0
  console.log(heading(plan, scratch))
  const storagePlan = { ...plan.storage, scratch }
  // The storage servers make their folders there; what they are started with cannot be told otherwise.
  if (isStorage) process.env['TMPDIR'] = plan.directory
  if (isStorage && plan.profile) console.log(await profileStorage(storagePlan, plan.profile))
  else if (isStorage) await runStorages(storagePlan)
  else if (plan.profile) await runProfile(plan, plan.profile, scratch)
  else await runAll(plan, scratch)
}

function parse(): Plan | null {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      size: { type: 'string' },
      times: { type: 'string', default: '1' },
      dir: { type: 'string', default: tmpdir() },
      profile: { type: 'string' },
      storage: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return null
  }
  const names = values.only.split(',').filter((name) => name !== '')
  const known: readonly string[] = [...serverIds, ...workloadNames, 'requests']
  for (const name of names) if (!known.includes(name)) throw new TypeError(`--only knows no ${name}`)
  const times = Number(values.times)
  if (!Number.isInteger(times) || times < 1) throw new TypeError('--times must be a number above 0')
  const sizes: Sizes = repeated(values.quick ? quickSizes : fullSizes, times)
  const all = workloads(values.size === undefined ? sizes : { ...sizes, big: parseSize(values.size) })
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
  if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError('--rounds must be a number above 0')
  const profiled = Object.values(all).find(({ name }) => name === values.profile)
  if (values.profile !== undefined && profiled === undefined) throw new TypeError('--profile must name a workload')
  const storages = parseStorages(values.storage)
  const defaults = storages.length > 0 ? storageWorkloads : fileWorkloads
  const isWorkloadNamed = workloadNames.some((name) => names.includes(name))
  const wantsRequests = names.includes('requests')
  const picked = Object.values(all).filter(({ name }) => (isWorkloadNamed ? names : defaults).includes(name))
  const chosen = serverIds.filter((id) => names.includes(id))
  return {
    servers: benchServers().filter(({ id }) => (chosen.length === 0 ? usualServers : chosen).includes(id)),
    workloads: picked,
    rounds,
    directory: values.dir,
    profile: profiled,
    storage: {
      storages,
      servers: storageServerIds.filter((id) => names.includes(id)),
      workloads: wantsRequests && !isWorkloadNamed ? [] : picked,
      requests: wantsRequests || !isWorkloadNamed ? requestCases(values.quick) : [],
      rounds,
    },
  }
}

function repeated({ big, smallUploads, chunks, heads }: Sizes, times: number): Sizes {
  return { big, smallUploads: smallUploads * times, chunks: chunks * times, heads: heads * times }
}

function parseStorages(text: string): readonly StorageName[] {
  if (text === 'all') return storageNames
  const names = text.split(',').filter((name) => name !== '')
  for (const name of names) {
    if (!storageNames.some((known) => known === name)) throw new TypeError(`--storage knows no ${name}`)
  }
  return storageNames.filter((name) => names.includes(name))
}

function parseSize(text: string): number {
  const match = /^(\d+)(KiB|MiB|GiB)?$/.exec(text)
  if (match === null) throw new TypeError('--size must look like 512MiB or 1GiB')
  return Number(match[1]) * { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[match[2] ?? '']!
}

function heading(plan: Plan, scratch: string): string {
  const [cpu] = cpus()
  const ours = process.env['BENCH_FILELOFT'] ?? relative(process.cwd(), ourCommand())
  return [
    `Node ${process.version}, ${cpus().length} x ${cpu?.model.trim() ?? 'CPU'}, storing in ${scratch}`,
    `fileloft is ${ours}; medians of ${plan.rounds} round(s), smallest..largest in brackets`,
    ...(plan.storage.storages.length > 0 ? [] : aboutFiles),
    '',
  ].join('\n')
}

const aboutFiles = [
  'fileloft syncs bytes, record and directory to the disk before it answers that an upload is complete; the others',
  'answer when the operating system has them ("fileloft, no sync" does too: FILELOFT_SYNC=never).',
]

async function runAll(plan: Plan, scratch: string): Promise<void> {
  const results: Results = new Map()
  const present = plan.servers.filter(({ command, title }) => {
    if (typeof command === 'string') console.log(`${title} is not here: ${command}`)
    return typeof command !== 'string'
  })
  for (const workload of plan.workloads) {
    const rounds = new Map<ServerId, (Measurement | undefined)[]>(present.map(({ id }) => [id, []]))
    results.set(workload.name, rounds)
    for (let round = 0; round < plan.rounds; round++) {
      for (const server of present) rounds.get(server.id)?.push(await attempt(server, workload, scratch))
    }
    console.log(`${workloadTable(workload, present, results)}\n`)
  }
  for (const [id, name] of [
    ['fileloft', 'Targets'],
    ['nosync', 'The same without sync'],
    ['watched', 'What hooks, metrics and logs cost'],
    ['limited', 'What limits cost'],
  ] as const) {
    const table = targetTable(id, results, id === 'watched' || id === 'limited' ? watchTargets : fileTargets)
    if (table !== '') console.log(`${name}\n${table}\n`)
  }
}

/** A failure of any server makes the whole run fail at its end, but not the others' rounds. */
async function attempt(server: BenchServer, workload: Workload, scratch: string): Promise<Measurement | undefined> {
  try {
    return await measure(server, workload, { scratch })
  } catch (error) {
    console.log(`${server.title}, ${workload.name}: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
    return undefined
  }
}

async function runProfile(plan: Plan, workload: Workload, scratch: string): Promise<void> {
  const [server] = plan.servers
  if (server === undefined || typeof server.command === 'string' || !server.command.isNode) {
    throw new TypeError('--profile needs a server on Node that is here: fileloft, nosync or tus-node')
  }
  const { command } = server
  const environment: Command['environment'] = (run) => ({ ...command.environment(run), FILELOFT_WORKERS: '1' })
  // One thread has all the work, and writes the only profile.
  const alone = { ...server, command: { ...command, environment } }
  const { measurement, text } = await profile(
    (nodeOptions) => measure(alone, workload, { scratch, nodeOptions }),
    scratch,
  )
  const { rate, cpu } = measurement
  const used = cpu === undefined ? '' : `, ${cpu.toFixed(2)} CPU s/${workload.cpuPer} (all threads)`
  console.log(`${server.title}, ${workload.name}: ${Math.round(rate)} ${workload.unit}${used}, slowed by the profiler`)
  console.log(text)
}

try {
  await main()
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  console.error(`${error.message}\n\n${usage}`)
  process.exitCode = 2
}
