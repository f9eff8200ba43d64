import { readFileSync } from 'node:fs'
import { openAuthorization } from './auth/authorization.ts'
import { sign } from './auth/sign.ts'
import { combineHooks } from '../combine.ts'
import { type CommandLine, type Config, ConfigError, readCommandLine, widenThreadPool } from './config.ts'
import { createTusHandler } from '../handler.ts'
import { openDemo, type RequestContext } from './features.ts'
import { handlerOptions } from './handler-options.ts'
import { helpText } from './help.ts'
import { openHooks } from './hooks/feature.ts'
import { listHooks, replayHooks } from './hooks/list.ts'
import { openOutbox, openTransport } from './hooks/open.ts'
import { createLogs, type Logs } from './logger.ts'
import { type RunningServer, startServer } from './server.ts'
import { redact } from './redact.ts'
import { openStorage } from './storage.ts'
import { readTls } from './tls.ts'

widenThreadPool(16)
await run()

async function run(): Promise<void> {
  try {
    const [first, ...others] = process.argv.slice(2)
    if (first === 'sign') {
      process.stdout.write(`${await sign(others)}\n`)
      return
    }
    const { command, replay, config } = readCommandLine(process.argv.slice(2))
    if (command === 'help') process.stdout.write(helpText())
    else if (command === 'version') process.stdout.write(`${version()}\n`)
    else if (command === 'check') await check(config)
    else if (command === 'sweep') await sweep(config)
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

async function serve(config: Config): Promise<void> {
  const logs = logsFor(config, 1)
  const die = (error: unknown) => {
    logs.server.fatal({ err: error }, 'unexpected failure')
    logs.flushNow()
    process.exit(1)
  }
  process.on('uncaughtException', die).on('unhandledRejection', die)

  let stopping = false
  const stop = (signal: 'SIGINT' | 'SIGTERM') => {
    if (stopping) {
      logs.flushNow()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    }
    stopping = true
    logs.server.info({ signal }, 'shutting down')
    // A start that fails is told below.
    void starting.then(end, () => {})
  }
  const end = async (server: RunningServer) => {
    const isDone = await server.close()
    logs.server.info('stopped')
    await logs.flush()
    process.exit(isDone ? 0 : 1)
  }
  // Before anything can be in use that a signal would leave behind.
  process.on('SIGINT', stop).on('SIGTERM', stop)
  process.on(
    'SIGHUP',
    () =>
      void starting.then(
        (server) => server.reload(),
        () => {},
      ),
  )
  const starting = startServer(config, logs)
  await starting
}

async function check(config: Config): Promise<void> {
  for (const warning of config.warnings) complain(warning)
  readTls(config)
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
  // What a sweep completes and removes is told of as well.
  const hooks = openHooks(config, logs, storage)
  const told = combineHooks<RequestContext>([hooks?.hooks ?? {}])
  const handler = createTusHandler({ ...handlerOptions(config), store, locker, ...told, onError })
  const { removed, skipped, concatenated, leftovers } = await handler.sweep()
  await hooks?.close?.()
  const counts = `removed ${removed}, skipped ${skipped}, concatenated ${concatenated}, leftovers ${leftovers}`
  process.stdout.write(`${counts}\n`)
  await logs.flush()
}

async function hooks(config: Config, replay: CommandLine['replay']): Promise<void> {
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

function version(): string {
  const { version: value } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return value
}

function complain(problem: string): void {
  process.stderr.write(`fileloft: ${redact(problem)}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
