import { type DestinationStream, destination as openDestination, type Logger, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { type Filter, levelOf } from './filter.ts'
import { loggedError } from './redact.ts'

/** Where messages go, by the part of the server they come from. */
export interface Logs {
  /** Start, stop, certificates, sweeps: `fileloft_server`. */
  readonly server: Logger
  /** A line for each request: `fileloft::http`. */
  readonly http: Logger
  /** Failures of the handler and its store: `fileloft::handler`. */
  readonly handler: Logger
  /** What became of hooks: `fileloft::hooks`. */
  readonly hooks: Logger
  /** Resolves once everything logged so far is written. */
  flush(): Promise<void>
  /** Writes what is still on its way at once, for a process that dies. */
  flushNow(): void
}

export interface LogOptions {
  readonly filter: Filter
  readonly format: 'text' | 'json'
  /** Whether text may be coloured. */
  readonly colors: boolean
  /** File descriptor to write to. */
  readonly fd: number
}

/** Lines are written in the background: `flush` before the process ends. */
export function createLogs({ filter, format, colors, fd }: LogOptions): Logs {
  // Line by line, writing would cost more than the request that is logged.
  const output = openDestination({ fd, sync: false, minLength: 8192, periodicFlush: 100 })
  // A reader that has gone (`fileloft | head`) must not take the server with it.
  output.on('error', () => {})
  const stream = format === 'json' ? output : pretty(output, colors)
  const root = pino(
    {
      level: 'trace',
      base: null,
      serializers: { err: loggedError },
      timestamp: isoTimes(),
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  )
  const child = (target: string) => {
    // `fileloft_server` is what the filter calls all of it.
    const level = levelOf(filter, target.replace(/^fileloft_server/, 'fileloft'))
    return root.child({ target }, { level })
  }
  return {
    server: child('fileloft_server'),
    http: child('fileloft::http'),
    handler: child('fileloft::handler'),
    hooks: child('fileloft::hooks'),
    flush: () => new Promise((resolve) => output.flush(() => resolve())),
    flushNow() {
      try {
        output.flushSync()
      } catch {
        // Nothing was written yet, or nobody is there to read it.
      }
    },
  }
}

/** Times as pino's `isoTime` writes them, for less than half: the date is written anew each second only. */
function isoTimes(): () => string {
  let second = -1
  let start = ''
  return () => {
    const now = Date.now()
    const ms = now % 1000
    if (now - ms !== second) {
      second = now - ms
      start = `,"time":"${new Date(second).toISOString().slice(0, -4)}`
    }
    return `${start}${String(ms).padStart(3, '0')}Z"`
  }
}

/** In this thread: a worker would lose the last lines of a crash. */
function pretty(output: DestinationStream, colors: boolean): DestinationStream {
  const format = prettyFactory({ colorize: colors, ignore: 'target', singleLine: true, translateTime: false })
  return { write: (line) => output.write(format(line) ?? '') }
}
