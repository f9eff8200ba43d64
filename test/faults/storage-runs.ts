/**
 * Uploads while the storage fails, clients go away and our process is killed. A seed decides a run: what is uploaded,
 * how, and what goes wrong; not how the parts of it meet in time.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ObjectStoreOptions } from '../../src/objects/store.ts'
import { type SeenRequest, startStorageProxy, type StorageProxy } from '../support/storage-proxy.ts'
import { offsetIn, octets, send, whole } from './client.ts'
import { random, type Random } from './random.ts'
import { concatenate, type Habits, terminate, type Trip, upload } from './storage-client.ts'
import { startStorageServer, type StorageServer } from './storage-server.ts'
import type { View } from './storage-views.ts'

const kib = 1024
const mib = 1024 * kib

/** A run that takes longer is taken for stuck. */
const runTimeoutMs = 90_000

/** Whatever answers later than this has waited for somebody who is dead. */
const promptMs = 5_000

export interface Totals {
  runs: number
  kills: number
  requests: number
  faults: number
  readonly statuses: Map<number, number>
  /** What went wrong, with all that helps to find out why. */
  readonly failed: string[]
}

/** Runs the seeds from `seed` on, several at a time, each with a server and a proxy of its own before one storage. */
export async function runSeeds(view: View, seed: number, count: number, atOnce: number): Promise<Totals> {
  const totals: Totals = { runs: 0, kills: 0, requests: 0, faults: 0, statuses: new Map(), failed: [] }
  let begun = 0
  const lane = async () => {
    await using proxy = await startStorageProxy(new URL(view.endpoint).origin, { dialect: view.dialect })
    await using server = await startStorageServer(view.place(proxy.origin))
    while (begun < count && totals.failed.length < 3) await run(view, server, proxy, seed + begun++, totals)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane))
  return totals
}

async function run(view: View, server: StorageServer, proxy: StorageProxy, seed: number, totals: Totals) {
  const numbers = random(seed)
  const plan = makePlan(view, numbers)
  const prefix = `r${seed}/`
  const trip: Trip = { server, deadline: performance.now() + runTimeoutMs, log: [], statuses: totals.statuses }
  proxy.reset()
  await server.open(prefix, plan.options)
  proxy.planRandom({ seed, ...plan.faults })
  const trouble = makeTrouble(view, server, proxy, plan, trip)
  let asked: readonly SeenRequest[] = []
  try {
    const made = await plan.upload(trip)
    await trouble.end()
    count(totals, proxy, trouble.kills)
    // The weather has cleared, and a machine that is busy is no fault.
    asked = proxy.requests
    proxy.reset()
    await server.open(prefix, { ...plan.options, retry: {} })
    for (const { path, source } of made) await checkUpload(view, trip, prefix, plan, path, source)
    await checkRemains(view, server, prefix, plan)
    totals.runs++
  } catch (error) {
    await trouble.end().catch(() => {})
    totals.failed.push(describeFailure(seed, plan, error, trip, server, [...asked, ...proxy.requests]))
  }
}

/** What was uploaded, and where to; `source` is null for what was removed again. */
interface Made {
  readonly path: string
  readonly source: Buffer | null
}

interface Plan {
  readonly text: string
  readonly options: ObjectStoreOptions & { readonly infoPrefix: string }
  readonly faults: { readonly rate: number; readonly burst: number; readonly stallMs: number; readonly total: number }
  /** After how many requests to the storage our process is killed. */
  readonly kills: readonly number[]
  /** After how many of them a sweep runs, while uploads do. */
  readonly sweeps: readonly number[]
  /** Whether what lists tell is incomplete then. */
  readonly lags: boolean
  upload(trip: Trip): Promise<Made[]>
}

function makePlan({ dialect }: View, numbers: Random): Plan {
  const isS3 = dialect.listings.has('ListMultipartUploads')
  const partSize = isS3 ? 5 * mib : numbers.pick([64 * kib, 256 * kib, mib])
  const options = {
    partSize,
    partConcurrency: numbers.between(1, 4),
    bufferBudget: numbers.chance(0.2) ? 2 * partSize : 64 * mib,
    infoPrefix: numbers.pick(['', '.info/']),
    checkpointMs: numbers.pick([20, 100, 1000]),
    leftoverAgeMs: 0,
    retry: { attempts: numbers.pick([2, 4, 6]), delayMs: 5, timeoutMs: 1000 },
  }
  const faults = {
    rate: numbers.pick([0.03, 0.1, 0.25]),
    burst: numbers.pick([2, 4, 14]),
    stallMs: 1500,
    total: 60,
  }
  const moments = (chance: number, most: number) =>
    Array.from({ length: numbers.chance(chance) ? most : 0 }, () => numbers.between(1, numbers.pick([5, 12, 40]))).sort(
      (a, b) => a - b,
    )
  const kills = moments(0.25, numbers.between(1, 2))
  const sweeps = moments(0.2, 1)
  const lags = numbers.chance(0.3)

  const pieces = numbers.chance(0.2) ? numbers.between(2, 3) : 1
  const isWaiting = numbers.chance(0.5)
  const isRemoved = pieces === 1 && numbers.chance(0.15)
  const uploads = Array.from({ length: pieces }, () => {
    const source = numbers.bytes(sizeOf(numbers, isS3))
    const enough = isRemoved && numbers.chance(0.6) ? numbers.between(0, source.length) : Infinity
    const habits = { ...habitsOf(numbers, source.length, pieces > 1), enough }
    return { source, habits, numbers: random(numbers.between(1, 2 ** 31)) }
  })
  const describe = ({ source, habits }: (typeof uploads)[number]) => `${source.length} bytes ${JSON.stringify(habits)}`

  return {
    text: JSON.stringify({ options, faults, kills, sweeps, lags, isWaiting, isRemoved }) + uploads.map(describe).join(),
    options,
    faults,
    kills,
    sweeps,
    lags,
    async upload(trip) {
      const begun = uploads.map(({ source, habits, numbers: own }) => upload(trip, source, habits, own))
      const done = Promise.all(begun.map(({ complete }) => complete))
      done.catch(() => undefined)
      // The final upload may be asked for before there is anything to put together.
      const paths = await Promise.all(begun.map(({ path }) => path))
      if (pieces === 1 || !isWaiting) await done
      if (pieces === 1) {
        if (isRemoved) await terminate(trip, paths[0]!, numbers)
        return [{ path: paths[0]!, source: isRemoved ? null : uploads[0]!.source }]
      }
      const final = await concatenate(trip, paths, numbers, done)
      const joined = { path: final, source: Buffer.concat(uploads.map(({ source }) => source)) }
      return [...uploads.map(({ source }, n) => ({ path: paths[n]!, source })), joined]
    },
  }
}

function sizeOf(numbers: Random, isS3: boolean): number {
  const [small, middle] = isS3 ? [100 * kib, 5 * mib] : [256 * kib, 3 * mib]
  const sizes: readonly (readonly [number, number])[] = [
    [0, 0],
    [1, small],
    [1, small],
    [small, middle],
    [small, middle],
    [middle, isS3 ? 12 * mib : 6 * mib],
    ...(isS3 ? [[middle, 12 * mib] as const] : []),
    [middle, 18 * mib],
  ]
  return numbers.between(...numbers.pick(sizes))
}

function habitsOf(numbers: Random, size: number, isPartial: boolean): Omit<Habits, 'enough'> {
  return {
    chunk: numbers.chance(0.4) ? Infinity : Math.max(numbers.between(Math.ceil(size / 10), size), 1),
    checksum: numbers.chance(0.3),
    deferred: numbers.chance(0.25),
    eager: size > 0 && numbers.chance(0.2),
    chunked: numbers.chance(0.2),
    rude: numbers.pick([0, 0.2, 0.5]),
    headers: isPartial
      ? { 'Upload-Concat': 'partial' }
      : { 'Upload-Metadata': `filename ${Buffer.from(`file ${size}.bin`).toString('base64')}` },
  }
}

/** Kills our process, and lets sweeps run, when so many requests have come to the storage. */
function makeTrouble(view: View, server: StorageServer, proxy: StorageProxy, plan: Plan, trip: Trip) {
  const kills = [...plan.kills]
  const sweeps = [...plan.sweeps]
  let work = Promise.resolve()
  let sweep = Promise.resolve()
  let done = 0
  let isDown = false
  const note = (what: string) => trip.log.push(`${performance.now().toFixed(0)} ${what}`)
  const look = () => {
    const { length } = proxy.requests
    if (kills[0] !== undefined && length >= kills[0]) {
      // The next one once this process has been replaced.
      if (isDown) return
      isDown = true
      kills.shift()
      done++
      note('kill -9')
      work = work
        .then(() => server.crash())
        .then(() => {
          isDown = false
          note('started again')
        })
      work.catch((error: unknown) => note(`not started again: ${String(error)}`))
    }
    if (sweeps[0] !== undefined && length >= sweeps[0]) {
      sweeps.shift()
      if (plan.lags) {
        for (const on of view.dialect.listings) {
          if (on !== 'GetBlockList') proxy.plan({ fault: { is: 'short-listing' }, on })
        }
      }
      // It may fail, as the storage does, and end with the process.
      sweep = server.sweep().then(
        (result) => void note(`swept: ${JSON.stringify(result)}`),
        (error: unknown) => void note(String(error)),
      )
    }
  }
  const timer = setInterval(look, 1)
  return {
    get kills() {
      return done
    },
    async end() {
      clearInterval(timer)
      await work
      await Promise.race([sweep, delay(promptMs)])
    },
  }
}

/** Whether the storage has what was uploaded, and nobody holds it. */
async function checkUpload(
  view: View,
  trip: Trip,
  prefix: string,
  { options }: Plan,
  path: string,
  source: Buffer | null,
): Promise<void> {
  const { origin } = trip.server
  const id = path.slice(path.lastIndexOf('/') + 1)
  const object = await view.read(prefix + id)
  const record = await view.read(`${prefix}${options.infoPrefix}${id}.info`)
  const head = await promptly(`HEAD ${path}`, whole(send(origin + path, 'HEAD'), path))
  if (source === null) {
    assert.equal(head.status, 404, `HEAD of what was removed was answered ${head.status}`)
    assert.deepEqual([object, record], [null, null], `${id} was removed and is still there`)
    return
  }
  assert.ok(object !== null, `There is no object ${prefix + id}`)
  assert.equal(object.length, source.length, `size of ${prefix + id}`)
  assert.equal(sha256(object), sha256(source), `sha256 of ${prefix + id}`)
  assert.equal(head.status, 200, `HEAD in the end was answered ${head.status} ${head.body.toString()}`)
  assert.equal(offsetIn(head), source.length, `offset in the end`)
  const { completed, multipartId } = JSON.parse(firstLine(record)) as Record<string, unknown>
  assert.deepEqual({ completed, multipartId }, { completed: true, multipartId: null }, `record of ${id}`)
  const headers = { 'Content-Type': octets, 'Upload-Offset': String(source.length) }
  if (head.headers['upload-concat']?.startsWith('final') === true) return
  const sending = { headers, body: Buffer.alloc(0) }
  const patch = await promptly(`PATCH ${path}`, whole(send(origin + path, 'PATCH', sending), path))
  assert.equal(patch.status, 204, `An empty PATCH in the end was answered ${patch.status} ${patch.body.toString()}`)
}

/** Nothing stays that belongs to nothing. */
async function checkRemains(view: View, server: StorageServer, prefix: string, { options }: Plan): Promise<void> {
  const before = await view.multiparts(prefix)
  const { skipped } = await server.sweep()
  assert.equal(skipped, 0, 'uploads skipped by the last sweep')
  const keys = await view.list(prefix)
  const recordOf = (key: string) => `${prefix}${options.infoPrefix}${key.slice(prefix.length)}.info`
  for (const { key, multipartId } of await view.multiparts(prefix)) {
    const line = firstLine(await view.read(recordOf(key)))
    // Of an upload whose POST was answered to nobody: it waits for its client, or its expiry.
    const isNamed = line.includes(`"multipartId":${JSON.stringify(multipartId)}`)
    assert.ok(isNamed, `The multipart ${multipartId} of ${key} belongs to nothing (${before.length} before the sweep)`)
  }
  const extra = keys.filter(
    (key) => !key.endsWith('.info') && !key.includes('/.finals/') && !keys.includes(recordOf(key)),
  )
  assert.deepEqual(extra, [], 'objects without a record')
}

async function promptly<T>(what: string, answer: Promise<T>): Promise<T> {
  const since = performance.now()
  const result = await answer
  const took = performance.now() - since
  assert.ok(took < promptMs, `${what} took ${took.toFixed(0)} ms although nobody works on it`)
  return result
}

function count(totals: Totals, { requests }: StorageProxy, kills: number): void {
  totals.kills += kills
  totals.requests += requests.length
  totals.faults += requests.filter(({ fault }) => fault !== null).length
}

function describeFailure(
  seed: number,
  plan: Plan,
  error: unknown,
  { log }: Trip,
  { failures }: StorageServer,
  requests: readonly SeenRequest[],
): string {
  const asked = requests
    .slice(-60)
    .map(({ kind, target, status, fault }) => `${kind} ${target.slice(0, 140)} ${status} ${fault ?? ''}`)
  return [
    `The run with FAULT_SEED=${seed} FAULT_RUNS=1 failed: ${error instanceof Error ? error.message : String(error)}`,
    plan.text,
    ...log.slice(-60),
    '-- onError:',
    ...failures.slice(-20),
    '-- requests to the storage:',
    ...asked,
    error instanceof Error ? (error.stack ?? '') : '',
  ].join('\n')
}

function firstLine(record: Buffer | null): string {
  return record?.subarray(0, Math.max(record.indexOf(10), 0)).toString() ?? ''
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
