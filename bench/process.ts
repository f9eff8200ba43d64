/** Starts and stops servers, and reads from Linux's /proc what they cost. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { receiverUrl } from './receiver.ts'
import type { Command } from './servers.ts'

export interface RunningServer {
  readonly pid: number
  readonly port: number
  /** SIGTERM, and SIGKILL for what is still there after ten seconds. */
  stop(): Promise<void>
}

/** `undefined` where there is no /proc. */
export interface Cost {
  /** User and system time of all threads, also of those that have ended. */
  readonly cpuSeconds: number
  /** The most memory it ever had resident, in MiB. */
  readonly peakMiB: number
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

/** Starts a server that writes its log to a file, as a service does, and waits until it takes connections. */
export async function startServer(
  command: Command,
  place: { readonly directory: string; readonly log: string; readonly nodeOptions: readonly string[] },
): Promise<RunningServer> {
  const run = { directory: place.directory, port: await freePort(), hooksUrl: await receiverUrl() }
  const log = openSync(place.log, 'a')
  const child = spawn(command.program, [...(command.isNode ? place.nodeOptions : []), ...command.args(run)], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...command.environment(run) },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  running.add(child)
  const exited = once(child, 'exit')
  let hasExited = false
  child.once('exit', () => {
    hasExited = true
    running.delete(child)
  })
  const { pid } = child
  if (pid === undefined) throw new Error(`${command.program} cannot be started`)
  const port = await untilListening(place.log, command.takesPort ? run.port : undefined, () => hasExited)
  return {
    pid,
    port,
    async stop() {
      if (hasExited) return
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Of a server, with the processes that it has started. */
export function costOf(pid: number): Cost | undefined {
  if (!existsSync('/proc/self/stat')) return undefined
  const all = treeOf(pid)
  if (all.length === 0) return undefined
  const ticks = all.reduce((sum, each) => sum + each.ticks, 0)
  return { cpuSeconds: ticks / ticksPerSecond, peakMiB: all.reduce((sum, each) => sum + peakOf(each.pid), 0) / 1024 }
}

/** In KiB; 0 where it has ended. */
function peakOf(pid: string): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** CPU seconds that all processes together have used since the machine started; interrupts are nobody's. */
export function machineCpuSeconds(): number | undefined {
  if (!existsSync('/proc/stat')) return undefined
  const [, user, nice, system, , , , , steal] = readFileSync('/proc/stat', 'latin1').split(/\s+/).map(Number)
  return (user! + nice! + system! + steal!) / ticksPerSecond
}

/** CPU seconds that this process and all that it has started, and those in turn, have used; of those alive. */
export function treeCpuSeconds(): number {
  if (!existsSync('/proc/self/stat')) return 0
  return treeOf(process.pid).reduce((sum, { ticks }) => sum + ticks, 0) / ticksPerSecond
}

interface Process {
  readonly pid: string
  readonly parent: string | undefined
  readonly ticks: number
}

/** A process and all that it has started, and those in turn, as far as they are alive. */
function treeOf(root: number): Process[] {
  const processes = readdirSync('/proc').flatMap((name) => {
    const fields = /^\d+$/.test(name) ? statOf(name) : undefined
    // utime and stime are fields 14 and 15 of the whole line.
    return fields === undefined
      ? []
      : [{ pid: name, parent: fields[1], ticks: Number(fields[11]) + Number(fields[12]) }]
  })
  const inTree = new Set([String(root)])
  // A pass for each generation.
  for (let before = -1; before !== inTree.size;) {
    before = inTree.size
    for (const { pid, parent } of processes) if (parent !== undefined && inTree.has(parent)) inTree.add(pid)
  }
  return processes.filter(({ pid }) => inTree.has(pid))
}

/** Fields of /proc/PID/stat from the third on; `undefined` when the process has ended. */
function statOf(pid: string | number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in front may hold spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** Linux has shown times in this unit on every architecture for decades. */
const ticksPerSecond = 100

async function untilListening(log: string, given: number | undefined, hasExited: () => boolean): Promise<number> {
  const deadline = Date.now() + 20_000
  while (Date.now() < deadline) {
    const text = readFileSync(log, 'utf8')
    if (hasExited()) throw new Error(`it ended at once: ${text.trim().slice(-500)}`)
    const port = given ?? Number(/127\.0\.0\.1:([1-9]\d*)/.exec(text)?.[1])
    if (port > 0 && (await accepts(port))) {
      // Ours listens for a moment to see whether the port is free, and then with all its threads at once.
      await delay(100)
      if (await accepts(port)) return port
    }
    await delay(10)
  }
  throw new Error(`it does not listen after 20 seconds: ${readFileSync(log, 'utf8').trim().slice(-500)}`)
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  if (address === null || typeof address !== 'object') throw new Error('no port')
  await new Promise((resolve) => probe.close(resolve))
  return address.port
}
