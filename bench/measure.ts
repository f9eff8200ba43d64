/** One run: a fresh server, a fresh folder, one workload, and a look at what was stored. */
import { execFileSync, fork } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { LoadJob, LoadMessage, SentUpload } from './load.ts'
import { costOf, machineCpuSeconds, startServer, treeCpuSeconds } from './process.ts'
import type { BenchServer } from './servers.ts'
import { verifyServed, verifyStored } from './verify.ts'
import { amount, type Workload } from './workloads.ts'

export interface Measurement {
  /** In the workload's unit. */
  readonly rate: number
  /** The server's CPU seconds per GiB or per 1000, `undefined` without /proc, as are the next two. */
  readonly cpu: number | undefined
  readonly peakMiB: number | undefined
  /** Share of the machine, 0 to 1, that neither the server nor the load nor the storage server used. */
  readonly others: number | undefined
  /** Share of the machine, 0 to 1, that the storage server behind the server used; `undefined` for files. */
  readonly storage: number | undefined
  /** Share of one core, 0 to 1, that the load used. */
  readonly load: number
  /** Milliseconds within which 99 of 100 uploads, or HEADs, were done. */
  readonly p99: number
  /** When it was measured, in microseconds of the system's monotonic clock. */
  readonly window: { readonly start: number; readonly end: number }
}

/**
 * Makes the folder that all runs' folders go into. On ext4 it is marked so that these are spread over the disk's
 * groups, away from the inodes that others have just removed near this folder (see `clear`).
 */
export async function makeScratch(parent: string): Promise<string> {
  const scratch = await mkdtemp(join(parent, 'fileloft-bench-'))
  quietly('chattr', ['+T', scratch])
  return scratch
}

export interface MeasureOptions {
  readonly scratch: string
  readonly nodeOptions?: readonly string[]
  /** Looks at what a storage server has stored. @default the files in the server's folder are looked at */
  readonly verify?: (uploads: readonly SentUpload[]) => Promise<void>
}

/**
 * @throws Error when the server does not start, answers wrongly, or has not stored what it was sent.
 */
export async function measure(server: BenchServer, workload: Workload, options: MeasureOptions): Promise<Measurement> {
  if (typeof server.command === 'string') throw new Error(server.command)
  const scratch = await mkdtemp(join(options.scratch, `${server.id}-`))
  const directory = join(scratch, 'data')
  await mkdir(directory)
  try {
    const place = { directory, log: join(scratch, 'log'), nodeOptions: options.nodeOptions ?? [] }
    const running = await startServer(server.command, place)
    try {
      const { measurement, uploads } = await runLoad(running, server, workload, scratch)
      const { verify } = options
      if (verify) await verify(uploads)
      else if (server.isOpaque) {
        const url = `http://127.0.0.1:${running.port}${server.path}`
        await verifyServed(url, uploads, workload.sent === workload.length)
      } else if (server.stores) await verifyStored(directory, uploads)
      return verify ? measurement : { ...measurement, storage: undefined }
    } finally {
      await running.stop()
    }
  } finally {
    await clear(scratch, workload)
    settle(options.scratch)
  }
}

async function runLoad(
  running: { pid: number; port: number },
  server: BenchServer,
  workload: Workload,
  scratch: string,
) {
  const job: LoadJob = { port: running.port, path: server.path, workload }
  const load = fork(join(import.meta.dirname, 'load.ts'), [JSON.stringify(job)])
  try {
    const ready = await nextMessage(load)
    if (ready.type !== 'ready') throw new Error(ready.type === 'failed' ? ready.message : 'the load is confused')
    touchMemory(join(scratch, 'filler'), workload.uploads * workload.sent)
    const before = costOf(running.pid)
    const machineBefore = machineCpuSeconds()
    const treeBefore = treeCpuSeconds()
    const start = microseconds()
    load.send('go')
    const done = await nextMessage(load)
    const end = microseconds()
    const after = costOf(running.pid)
    const treeAfter = treeCpuSeconds()
    const machineAfter = machineCpuSeconds()
    if (done.type !== 'done') throw new Error(done.type === 'failed' ? done.message : 'the load is confused')
    const count = amount(workload)
    const cpuSeconds = before && after && after.cpuSeconds - before.cpuSeconds
    const machine = machineBefore !== undefined && machineAfter !== undefined ? machineAfter - machineBefore : undefined
    const tree = treeAfter - treeBefore
    // This process does nothing meanwhile.
    const storage = cpuSeconds && tree - cpuSeconds - done.cpuSeconds
    const share = (seconds: number | undefined) =>
      seconds && Math.max(0, seconds / done.seconds / availableParallelism())
    return {
      uploads: done.uploads,
      measurement: {
        rate: count / done.seconds,
        cpu: cpuSeconds && cpuSeconds / (workload.cpuPer === 'GiB' ? count / 1024 : count / 1000),
        peakMiB: after?.peakMiB,
        others: share(machine && machine - tree),
        storage: share(storage),
        load: done.cpuSeconds / done.seconds,
        p99: done.p99,
        window: { start, end },
      },
    }
  } finally {
    load.kill('SIGKILL')
  }
}

function nextMessage(load: ReturnType<typeof fork>): Promise<LoadMessage> {
  return new Promise((resolve, reject) => {
    const onEnd = () => reject(new Error('the load ended without a result'))
    load.once('disconnect', onEnd)
    load.once('message', (message) => {
      load.off('disconnect', onEnd)
      resolve(message as LoadMessage)
    })
  })
}

/**
 * Makes room again. Small files stay until the whole bench is over: ext4 takes a minute or more before it uses a removed
 * file's inode again, and looks at each such inode whenever it makes a file, so the next server would pay for them.
 */
async function clear(scratch: string, workload: Workload): Promise<void> {
  if (workload.uploads <= 16) await rm(scratch, { recursive: true, force: true })
}

function microseconds(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

/**
 * Fills as much of the file cache as the run will, and frees it. On a virtual machine that gives free memory back to its
 * host, the first use of a page costs several times what writing it does, and would hide the servers' own time.
 */
function touchMemory(filler: string, bytes: number): void {
  const block = Buffer.alloc(1024 * 1024)
  const file = openSync(filler, 'w')
  for (let written = 0; written < bytes; written += block.length) writeSync(file, block)
  closeSync(file)
  rmSync(filler)
}

/** So that one server does not pay for what the one before it left to be written or discarded. */
function settle(scratch: string): void {
  quietly('sync', ['-f', scratch])
}

/** For what not every system has: the rounds even it out there. */
function quietly(program: string, args: string[]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
  } catch {
    // As said.
  }
}
