/** `npm run bench -- --storage NAMES`: fileloft beside other tus servers, on the same local storage servers. */
import { measure, type Measurement } from '../measure.ts'
import { profile } from '../profile.ts'
import { type Results, storageTargets, targetTable, workloadTable } from '../report.ts'
import type { ServerId } from '../servers.ts'
import type { Workload } from '../workloads.ts'
import { countRequests, type RequestCase, type RequestRow, requestTable } from './requests.ts'
import { type StorageServer, type StorageServerId, storageServers } from './servers.ts'
import { startStorage } from './start.ts'
import type { StorageName } from './storage.ts'
import { verifyObjects } from './verify.ts'

export interface StoragePlan {
  readonly storages: readonly StorageName[]
  /** Empty for all. */
  readonly servers: readonly StorageServerId[]
  readonly workloads: readonly Workload[]
  readonly requests: readonly RequestCase[]
  readonly rounds: number
  readonly scratch: string
}

export async function runStorages(plan: StoragePlan): Promise<void> {
  for (const name of plan.storages) {
    const probe = await startStorage(name)
    if (probe === null) continue
    await probe.stop()
    console.log(`== ${name}: ${probe.title}\n`)
    const present = chosenServers(plan, name).filter(({ command, title }) => {
      if (typeof command === 'string') console.log(`${title} is not here: ${command}`)
      return typeof command !== 'string'
    })
    await measureAll(plan, name, present)
    if (plan.requests.length > 0) await countAll(plan, name, present)
  }
}

/** One workload of the one server under `--cpu-prof`. */
export async function profileStorage(plan: StoragePlan, workload: Workload): Promise<string> {
  const [name] = plan.storages
  if (name === undefined) throw new TypeError('--profile needs a storage')
  const [server] = chosenServers(plan, name)
  if (server === undefined || typeof server.command === 'string' || !server.command.isNode) {
    throw new TypeError('--profile needs a server on Node that is here: fileloft or tus-node')
  }
  const once = (nodeOptions: readonly string[]) => measureOn(name, server.id, workload, plan.scratch, nodeOptions)
  const { measurement, text } = await profile(once, plan.scratch)
  return `${server.title}, ${workload.name}: ${Math.round(measurement.rate)} ${workload.unit}, slowed by the profiler\n${text}`
}

function chosenServers({ servers }: StoragePlan, name: StorageName): StorageServer[] {
  return storageServers(name, null).filter(({ id }) => servers.length === 0 || servers.includes(id))
}

async function measureAll(plan: StoragePlan, name: StorageName, present: readonly StorageServer[]): Promise<void> {
  const results: Results = new Map()
  for (const workload of plan.workloads) {
    const able = present.filter((server) => {
      // It is about our budget; the others have none to keep to.
      if (workload.name === 'many' && plan.servers.length === 0 && server.id !== 'fileloft') return false
      const isAble = takes(server, workload.patch)
      if (!isAble) console.log(`${workload.name} is left out for ${server.title}: ${tooLarge}`)
      return isAble
    })
    const rounds = new Map<ServerId, (Measurement | undefined)[]>(able.map(({ id }) => [id, []]))
    results.set(workload.name, rounds)
    for (let round = 0; round < plan.rounds; round++) {
      for (const { id, title } of able) {
        const run = measureOn(name, id, workload, plan.scratch)
        rounds.get(id)?.push(await attempt(`${title}, ${workload.name}`, run))
      }
    }
    console.log(`${workloadTable(workload, able, results)}\n`)
  }
  const table = targetTable('fileloft', results, storageTargets)
  if (table !== '') console.log(`Targets on ${name}\n${table}\n`)
}

async function countAll(plan: StoragePlan, name: StorageName, present: readonly StorageServer[]): Promise<void> {
  for (const wanted of plan.requests) {
    const rows: RequestRow[] = []
    for (const server of present) {
      const run = takes(server, wanted.patch) && countRequests(name, server.id, wanted, plan.scratch)
      const counts = run === false ? tooLarge : await attempt(`${server.title}, ${wanted.title}`, run)
      rows.push({ server: server.title, counts: counts ?? 'failed' })
    }
    console.log(`${requestTable(wanted, rows)}\n`)
  }
}

const tooLarge = 'it stores each PATCH as one block, and this one is larger than a block may be'

function takes({ largestPatch = Infinity }: StorageServer, patch: number): boolean {
  return patch <= largestPatch
}

/** On a new storage server each time, so that nobody pays for what the one before has left there. */
async function measureOn(
  name: StorageName,
  id: StorageServerId,
  workload: Workload,
  scratch: string,
  nodeOptions: readonly string[] = [],
): Promise<Measurement> {
  const storage = await startStorage(name)
  if (storage === null) throw new Error(`the server for ${name} is gone`)
  try {
    const server = storageServers(name, storage).find((one) => one.id === id)
    if (server === undefined) throw new Error(`${id} is not here`)
    return await measure(server, workload, { scratch, nodeOptions, verify: (sent) => verifyObjects(storage, sent) })
  } finally {
    await storage.stop()
  }
}

/** A failure makes the whole run fail at its end, but not the others' rounds. */
async function attempt<T>(what: string, run: Promise<T>): Promise<T | undefined> {
  try {
    return await run
  } catch (error) {
    console.log(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
    return undefined
  }
}
