/**
 * A server as a child process on a free port of 127.0.0.1, with a folder of its own. It lives no longer than this
 * process, however this one ends, and it keeps this one from nothing.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

export interface RunningServer extends AsyncDisposable {
  /** As people call it. */
  readonly name: string
  /** Where clients reach it, without trailing slash. */
  readonly endpoint: string
  /** The last lines of its output, for messages. */
  log(): string
  /** Ends it and removes what it stored; one that runs elsewhere is left as it is. `await using` calls it. */
  stop(): Promise<void>
}

/** What a program is given to live in. */
export interface Place {
  readonly port: number
  /** Temporary, also its home. */
  readonly folder: string
}

export interface ProgramOptions {
  readonly name: string
  /** File to run. */
  readonly command: string
  readonly args: (place: Place) => readonly string[]
  /** Makes in the folder what the program expects to find. */
  readonly prepare?: (place: Place) => Promise<void>
  /** Over `PATH`, `HOME` and `TMPDIR`: nothing else is inherited. */
  readonly env?: Readonly<Record<string, string>>
  /** It is up when this path answers with success, or when it writes a line like this, whose first group is its port. */
  readonly ready: { readonly path: string } | { readonly line: RegExp }
}

export interface Program extends AsyncDisposable {
  readonly port: number
  log(): string
  stop(): Promise<void>
}

const startTimeoutMs = 60_000

/**
 * Starts the program and waits until it is up.
 * @throws Error with its output when it ends, or is not up, before that.
 */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  for (let attempt = 1; ; attempt++) {
    const place: Place = { port: await freePort(), folder: await mkdtemp(join(tmpdir(), 'fileloft-server-')) }
    await options.prepare?.(place)
    const running = launch(options, place)
    try {
      const port = await untilReady(options, place, running)
      keepWaiting(running.child, false)
      const stop = () => end(running, place)
      return { port, log: () => running.lines.join('\n'), stop, [Symbol.asyncDispose]: stop }
    } catch (error) {
      await end(running, place)
      // Between being found free and being bound, somebody else may take the port.
      const taken = running.lines.some((line) => /in use/i.test(line))
      if (!taken || attempt === 3) throw error
    }
  }
}

/** A server that runs elsewhere, named by a variable. */
export function running(name: string, endpoint: string): RunningServer {
  const stop = () => Promise.resolve()
  return { name, endpoint: endpoint.replace(/\/+$/, ''), log: () => '', stop, [Symbol.asyncDispose]: stop }
}

/** For buckets and containers: valid everywhere, and never the same twice. */
export function freshName(): string {
  return `test-${crypto.randomUUID()}`
}

interface Running {
  readonly child: ChildProcess
  readonly lines: string[]
  readonly exited: Promise<string>
}

/**
 * Runs the program and ends it, and removes its folder, when standard input ends: that happens when the process that
 * started it wants it to, and when that one is gone, be it by SIGKILL.
 */
const keeper = `
folder=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{ cat <&3; kill -9 $program; } >/dev/null 2>&1 &
watcher=$!
exec 3<&- >/dev/null 2>&1
wait $program; code=$?
kill $watcher
rm -rf -- "$folder"
exit $code
`

function launch(options: ProgramOptions, place: Place): Running {
  const child = spawn('sh', ['-c', keeper, 'sh', place.folder, options.command, ...options.args(place)], {
    cwd: place.folder,
    env: { PATH: process.env['PATH'], HOME: place.folder, TMPDIR: tmpdir(), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    // Ctrl-C in a terminal goes to all processes of a group: the keeper must outlive it to clean up.
    detached: true,
  })
  // Nothing is ever written to it, but it breaks when the program ends.
  child.stdin.on('error', () => undefined)
  const lines: string[] = []
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      lines.push(line)
      if (lines.length > 200) lines.shift()
    })
  }
  const exited = once(child, 'close').then(
    ([code, signal]) => `ended (${String(signal ?? code)})`,
    (error: unknown) => `could not be started: ${String(error)}`,
  )
  void exited.then(() => child.stdin.destroy())
  return { child, lines, exited }
}

/** Resolves to the port that is bound. */
async function untilReady(options: ProgramOptions, place: Place, { child, lines, exited }: Running): Promise<number> {
  let ended: string | null = null
  void exited.then((how) => (ended = how))
  const deadline = performance.now() + startTimeoutMs
  const fail = (what: string) => new Error(`${options.name} ${what}. Its output:\n${lines.join('\n')}`)
  while (true) {
    const port = await askReady(options, place, lines)
    if (ended !== null) throw fail(ended)
    if (port !== null && child.exitCode === null) return port
    if (performance.now() > deadline) throw fail(`was not up within ${startTimeoutMs} ms`)
    await Promise.race([delay(20), exited])
  }
}

async function askReady({ ready }: ProgramOptions, { port }: Place, lines: readonly string[]): Promise<number | null> {
  if ('line' in ready) {
    const found = lines.map((line) => ready.line.exec(line)?.[1]).find((text) => text !== undefined)
    return found === undefined ? null : Number(found)
  }
  try {
    const signal = AbortSignal.timeout(2000)
    const answer = await fetch(`http://127.0.0.1:${port}${ready.path}`, { signal })
    await answer.body?.cancel()
    return answer.ok ? port : null
  } catch {
    return null
  }
}

async function end({ child, exited }: Running, { folder }: Place): Promise<void> {
  keepWaiting(child, true)
  child.stdin?.destroy()
  await exited
  // Where the shell itself could not be started.
  await rm(folder, { recursive: true, force: true })
}

/** Whether this process stays for that one: a test that failed must not hang for a server that it never stopped. */
function keepWaiting(child: ChildProcess, wait: boolean): void {
  child[wait ? 'ref' : 'unref']()
  for (const handle of child.stdio) if (handle instanceof Socket) handle[wait ? 'ref' : 'unref']()
}

/**
 * A port that is free, and stays so until its server listens, or listens again after a crash: the system gives those
 * from 32768 on to whoever asks for any, clients included.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768)
    const server = createServer().listen(port, '127.0.0.1')
    try {
      await once(server, 'listening')
    } catch {
      continue
    }
    server.close()
    await once(server, 'close')
    return port
  }
}
