import { type DestinationStream, type Logger, pino } from 'pino'
import { type Filter, levelOf } from './filter.ts'
import { loggedError } from './redact.ts'

/** Where messages go, by the part of the server they come from. */
export interface Loggers {
  /** Start, stop, certificates, sweeps: `fileloft_server`. */
  readonly server: Logger
  /** A line for each request: `fileloft::http`. */
  readonly http: Logger
  /** Failures of the handler and its store: `fileloft::handler`. */
  readonly handler: Logger
  /** What became of hooks: `fileloft::hooks`. */
  readonly hooks: Logger
}

/** Loggers that write lines of JSON. */
export function createLoggers(filter: Filter, stream: DestinationStream): Loggers {
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
