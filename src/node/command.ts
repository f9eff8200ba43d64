import { setTimeout as delay } from 'node:timers/promises'
import { combineHooks } from '../combine.ts'
import { type CommandLine, type Config, ConfigError, readCommandLine, widenThreadPool } from './config.ts'
import { createTusHandler } from '../handler.ts'
import { openDemo, type RequestContext } from './features.ts'
import { handlerOptions } from './handler-options.ts'
import { askHealth } from './health.ts'
import { importUploads } from './import.ts'
import { helpText } from './help.ts'
import { createLogs, type Logs } from './logger.ts'
import { redact } from './redact.ts'
import { type Service, startService } from './service.ts'
import { openStorage } from './storage.ts'
import { readTls } from './tls.ts'
import { version } from './version.ts'

widenThreadPool(16)
/** Resolves once it is done; a server goes on behind it. Never rejects. */
export const done: Promise<void> = run()

async function run(): Promise<void> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`fileloft hooks | head`). What is under way goes on.
    if (error.code === 'EPIPE') return
    complain(`standard output: ${error.message}`)
    process.exitCode = 1
  })
  try {
    const [first, ...others] = process.argv.slice(2)
    if (first === 'sign') {
      const { sign } = await import('./auth/sign.ts')
      process.stdout.write(`${await sign(others)}\n`)
      return
    }
    const { command, replay, dryRun, config } = readCommandLine(process.argv.slice(2))
    if (command === 'help') process.stdout.write(helpText())
    else if (command === 'version') process.stdout.write(`${version()}\n`)
    else if (command === 'check') await check(config)
    else if (command === 'health') process.stdout.write(`${await askHealth(config)}\n`)
    else if (command === 'sweep') await sweep(config)
    else if (command === 'import') await importAll(config, dryRun)
    else if (command === 'hooks') await hooks(config, replay)
    else await serve(config)
  } catch (error) {
    if (error instanceof ConfigError) {
      for (const problem of error.problems) complain(problem)
      process.exitCode = 2
    } else {
      complain(messageOf(error))
      process.exitCode = 1
    }
  }
}

// What serving does not need is loaded only where it is used: it would stay in memory.

async function serve(config: Config): Promise<void> {
  const logs = logsFor(config, 1)
  let dying = false
  const die = (error: unknown) => {
    // What the first failure brings about, such as the end of a thread, is none of its own.
    if (dying) return
    dying = true
    process.exitCode = 1
    logs.server.fatal({ err: error }, 'unexpected failure')
    // The log takes nothing any more while its last lines are read.
    if (leaving) complain(`unexpected failure: ${messageOf(error)}`)
    void leave(logs, 1, 'SIGKILL')
  }
  process.on('uncaughtException', die).on('unhandledRejection', die)

  let stopping = false
  const stop = (signal: 'SIGINT' | 'SIGTERM') => {
    if (stopping) return void leave(logs, signal === 'SIGINT' ? 130 : 143, signal)
    stopping = true
    logs.server.info({ signal }, 'shutting down')
    // A start that fails is told below.
    void starting.then(
      (service) => end(service, signal),
      () => {},
    )
  }
  const end = async (service: Service, signal: NodeJS.Signals) => {
    const isDone = await service.close()
    logs.server.info('stopped')
    await leave(logs, isDone ? 0 : 1, signal)
  }
  // Before anything can be in use that a signal would leave behind.
  process.on('SIGINT', stop).on('SIGTERM', stop)
  process.on(
    'SIGHUP',
    () =>
      void starting.then(
        (service) => service.reload(),
        () => {},
      ),
  )
  const starting = startService(config, logs)
  await starting
}

/** Milliseconds in which the reader of the log has to read something of the last lines, and in which all of them. */
const patienceMs = 2_000
const mostPatienceMs = 5_000

let leaving = false

/** Ends the process: with the code, or by the signal where nobody reads the log. */
async function leave(logs: Logs, code: number, signal: NodeJS.Signals): Promise<void> {
  leaving = true
  if (await Promise.race([logs.end(patienceMs), delay(mostPatienceMs, false)])) process.exit(process.exitCode ?? code)
  // `exit` would wait for a write that waits for its reader, and that cannot be given up.
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // The first process of a container, where that is no init, takes no signal from itself.
  setTimeout(() => {
    // `abort` first writes a stack to standard error, which may be a pipe that nobody reads: Node sees to it that
    // writing to one waits for nobody, once the stream is asked for.
    void process.stderr
    process.abort()
  }, 1_000)
}

async function check(config: Config): Promise<void> {
  for (const warning of config.warnings) complain(warning)
  readTls(config)
  const { openAuthorization } = await import('./auth/authorization.ts')
  const { openTransport } = await import('./hooks/open.ts')
  openAuthorization(config, logsFor(config, 2).server)
  openTransport(config)
  if (config.demo) await openDemo(config)
  const { about, place, notice, full } = await openStorage(config)
  if (notice !== null) complain(notice)
  if (full !== null) throw full
  process.stdout.write(`The configuration is valid and the store can be used: ${about['backend'] ?? ''} ${place}\n`)
}

async function sweep(config: Config): Promise<void> {
  const logs = logsFor(config, 2)
  const storage = await openStorage(config)
  const { store, locker } = storage
  const onError = (error: unknown) => logs.handler.error({ err: error }, 'failure')
  const { openHooks } = await import('./hooks/feature.ts')
  // What a sweep completes and removes is told of as well.
  const hooks = openHooks(config, logs, storage)
  const told = combineHooks<RequestContext>([hooks?.hooks ?? {}])
  const handler = createTusHandler({ ...handlerOptions(config), store, locker, ...told, onError })
  const { removed, skipped, concatenated, leftovers } = await handler.sweep()
  await hooks?.close?.()
  const counts = `removed ${removed}, skipped ${skipped}, concatenated ${concatenated}, leftovers ${leftovers}`
  process.stdout.write(`${counts}\n`)
  await logs.end()
}

async function importAll(config: Config, dryRun: boolean): Promise<void> {
  const { place, locker } = await openStorage(config)
  const write = (line: string) => void process.stdout.write(`${line}\n`)
  if (!(await importUploads(place, locker, config, dryRun, write, complain))) process.exitCode = 1
}

async function hooks(config: Config, replay: CommandLine['replay']): Promise<void> {
  const { listHooks, replayHooks } = await import('./hooks/list.ts')
  const { openOutbox, openTransport } = await import('./hooks/open.ts')
  const storage = await openStorage(config)
  const outbox = openOutbox(storage)
  const write = (line: string) => void process.stdout.write(`${line}\n`)
  try {
    if (replay === null) return await listHooks(outbox, write)
    const transport = openTransport(config)
    const done = transport !== null && (await replayHooks(outbox, transport, replay, config.hooksTimeout * 1000, write))
    if (!done) process.exitCode = 1
  } finally {
    await outbox.close()
  }
}

function logsFor({ log, logFormat }: Config, fd: 1 | 2): Logs {
  const isTerminal = (fd === 1 ? process.stdout : process.stderr).isTTY
  const format = logFormat === 'auto' ? (isTerminal ? 'text' : 'json') : logFormat
  return createLogs({ filter: log, format, colors: isTerminal, fd })
}

function complain(problem: string): void {
  process.stderr.write(`fileloft: ${redact(problem)}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
