/**
 * The real command as a child process: `node src/node/cli.ts` on a free port of 127.0.0.1 with a fresh data folder.
 * It is up when its start line is in the log, it is ended by its process id, and it can be started again on the same
 * port and folder, which is what a crash or a deployment looks like to a client.
 */
import { ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../servers/program.ts'
import { inherited } from './environment.ts'

export interface ServerOptions {
  /**
   * `FILELOFT_*` variables, over those that the helper sets (`FILELOFT_BIND`, `FILELOFT_DATA_DIR`). Nothing but
   * `inherited` comes on top, so a developer's environment changes no result.
   */
  readonly env?: Readonly<Record<string, string>>
  /** Flags of the command. @default none */
  readonly args?: readonly string[]
  /** Flags of Node itself, such as `--max-old-space-size=128`. @default none */
  readonly nodeArgs?: readonly string[]
  /** An executable that is the command, run with an empty PATH. @default the sources, on this Node */
  readonly executable?: string
  /** Where uploads are kept. It is left in place in the end. @default a temporary folder, removed by `close` */
  readonly dataDir?: string
  /** A port to bind. @default a free one */
  readonly port?: number
  /** Milliseconds to wait for the start line. @default 20_000 */
  readonly startTimeoutMs?: number
}

/** How the process ended: one of the two is null. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A line of the JSON log. */
export type LogRecord = Readonly<Record<string, unknown>>

export interface TestServer extends AsyncDisposable {
  /** Where uploads are created, without trailing slash. */
  readonly url: string
  /** `http://127.0.0.1:PORT`, or https where `FILELOFT_TLS_CERT` is set. Stays the same over restarts. */
  readonly origin: string
  readonly port: number
  readonly dataDir: string
  /** Of the present process. */
  readonly pid: number
  /** Lines of stdout and stderr, of all processes so far. */
  readonly log: readonly string[]
  /** Those log lines that are JSON objects, parsed. */
  records(): LogRecord[]
  /** The first record, written already or to come, that is looked for. Rejects when there is none in time. */
  logged(what: (record: LogRecord) => boolean, timeoutMs?: number): Promise<LogRecord>
  /** The first line that is this or like this, whoever has written it or will. Rejects when there is none in time. */
  wrote(what: string | RegExp, timeoutMs?: number): Promise<string>
  /** Sends a signal without waiting for the end (SIGHUP, SIGSTOP, SIGCONT, a second SIGTERM). */
  signal(signal: NodeJS.Signals): void
  /**
   * Ends the process and waits for that; of no effect once it has ended.
   * @param signal SIGKILL for a crash. @default SIGTERM
   */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** Starts the process again on the same port and folder, after `stop` if need be. Resolves when it is up. */
  restart(options?: { signal?: NodeJS.Signals; env?: Readonly<Record<string, string>> }): Promise<void>
  /** Kills what still runs and removes the temporary folder. `await using` calls it. */
  close(): Promise<void>
}

/**
 * Starts the server and waits until it is up.
 * @throws Error with the log when it ends, or says nothing, before that.
 */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'fileloft-')))
  const log: Log = { lines: [], events: new EventEmitter() }
  let env = options.env ?? {}
  const cleanUp = async () => {
    if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true })
  }
  let current = await launch(options, env, dataDir, options.port ?? (await freePort()), log).catch(
    async (error: unknown) => {
      await cleanUp()
      throw error
    },
  )
  const { port } = current

  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    keepWaiting(current.child, true)
    current.child.kill(signal)
    return current.exited
  }
  const close = async () => {
    await stop('SIGKILL')
    await cleanUp()
  }
  const origin = `${env['FILELOFT_TLS_CERT'] === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  const path = (env['FILELOFT_BASE_PATH'] ?? '/files').replace(/\/+$/, '')
  return {
    url: origin + path,
    origin,
    port,
    dataDir,
    log: log.lines,
    get pid() {
      return current.pid
    },
    records: () => log.lines.flatMap(parseRecord),
    logged: (what, timeoutMs = 10_000) => findLine(log, (line) => parseRecord(line).find(what), timeoutMs),
    wrote(what, timeoutMs = 10_000) {
      const isIt = (line: string) => (typeof what === 'string' ? line === what : what.test(line))
      return findLine(log, (line) => (isIt(line) ? line : undefined), timeoutMs)
    },
    signal: (signal) => void current.child.kill(signal),
    stop,
    async restart({ signal, env: changed } = {}) {
      await stop(signal)
      env = { ...env, ...changed }
      current = await launch(options, env, dataDir, port, log)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** The command, from the sources. */
const cli = resolve(import.meta.dirname, '../../src/node/cli.ts')

interface Log {
  readonly lines: string[]
  /** `line` with each new one. */
  readonly events: EventEmitter
}

interface Running {
  readonly child: ChildProcess
  readonly pid: number
  readonly port: number
  readonly exited: Promise<Exit>
}

async function launch(
  options: ServerOptions,
  env: Readonly<Record<string, string>>,
  dataDir: string,
  port: number,
  log: Log,
): Promise<Running> {
  const { executable, nodeArgs = [], args = [] } = options
  const isAlone = executable !== undefined
  const child = spawn(executable ?? process.execPath, isAlone ? args : [...nodeArgs, cli, ...args], {
    env: {
      ...(isAlone ? { PATH: '' } : inherited),
      FILELOFT_BIND: `127.0.0.1:${port}`,
      FILELOFT_DATA_DIR: dataDir,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = exitOf(child)
  // A test run that ends early must not leave a server behind.
  const killLast = () => child.kill('SIGKILL')
  process.once('exit', killLast)
  void exited.then(() => process.off('exit', killLast))

  let timer: ReturnType<typeof setTimeout> | undefined
  try {
    const bound = await new Promise<number>((up, down) => {
      const onLine = (line: string) => {
        log.lines.push(line)
        log.events.emit('line', line)
        const found = boundPort(line)
        if (found !== null) up(found)
      }
      for (const output of [child.stdout, child.stderr]) createInterface({ input: output }).on('line', onLine)
      const fail = (what: string) => down(new Error(`The server ${what}. Its log:\n${log.lines.join('\n')}`))
      void exited.then(({ code, signal }) => fail(`ended (${signal ?? code}) before its start line`))
      child.once('error', (error) => fail(`could not be started: ${error.message}`))
      timer = setTimeout(() => fail('did not write its start line in time'), options.startTimeoutMs ?? 20_000)
    })
    keepWaiting(child, false)
    return { child, pid: child.pid ?? fail(), port: bound, exited }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Whether this process stays for that one: a test that failed must not hang for a server that it never closed. */
function keepWaiting(child: ChildProcess, wait: boolean): void {
  for (const handle of [child, child.stdout, child.stderr]) {
    if (handle instanceof ChildProcess || handle instanceof Socket) handle[wait ? 'ref' : 'unref']()
  }
}

/** `close`, not `exit`: the log is complete then. */
async function exitOf(child: ChildProcess): Promise<Exit> {
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    return { code, signal }
  } catch {
    // It never ran; `error` tells.
    return { code: null, signal: null }
  }
}

/** The port in the start line: the first line that names an address which is really bound. */
function boundPort(line: string): number | null {
  if (!line.includes('listening')) return null
  const port = Number(/\b127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? 0)
  return port > 0 ? port : null
}

/** What is found in the first line, written already or to come, in which `what` finds anything. */
function findLine<T>(log: Log, what: (line: string) => T | undefined, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const look = (line: string) => {
      const found = what(line)
      if (found === undefined) return false
      clearTimeout(timer)
      log.events.off('line', look)
      resolve(found)
      return true
    }
    const timer = setTimeout(() => {
      log.events.off('line', look)
      reject(new Error(`Not in the log within ${timeoutMs} ms. The log:\n${log.lines.join('\n')}`))
    }, timeoutMs)
    if (!log.lines.some(look)) log.events.on('line', look)
  })
}

function parseRecord(line: string): LogRecord[] {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? [value as LogRecord] : []
  } catch {
    return []
  }
}

function fail(): never {
  throw new Error('The server has no process id')
}
