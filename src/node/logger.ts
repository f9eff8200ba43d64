import { type DestinationStream, destination as openDestination } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { Filter } from './filter.ts'
import { createLoggers, type Loggers } from './loggers.ts'

/** The log of the process. */
export interface Logs extends Loggers {
  /** Writes lines that another thread has logged, whole ones only. */
  write(lines: string): void
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
  return {
    ...createLoggers(filter, stream),
    write(lines) {
      if (format === 'json') output.write(lines)
      else for (const line of lines.trimEnd().split('\n')) stream.write(`${line}\n`)
    },
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

/** In this thread: a worker would lose the last lines of a crash. */
function pretty(output: DestinationStream, colors: boolean): DestinationStream {
  const format = prettyFactory({ colorize: colors, ignore: 'target', singleLine: true, translateTime: false })
  return { write: (line) => output.write(format(line) ?? '') }
}
