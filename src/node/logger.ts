import { type DestinationStream, destination as openDestination } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { Filter } from './filter.ts'
import { lineBatches } from './line-batches.ts'
import { createLoggers, type Loggers } from './loggers.ts'

/** The log of the process. */
export interface Logs extends Loggers {
  /** Writes lines that another thread has logged, whole ones only. */
  write(lines: Uint8Array): void
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
  // With no least length, `flush` would not wait for what is being written. In this mode it takes bytes, whatever its
  // type says.
  const output = openDestination({ fd, sync: false, minLength: 1, contentMode: 'buffer' })
  // A reader that has gone (`fileloft | head`) must not take the server with it.
  output.on('error', () => {})
  // Line by line, writing would cost more than the request that is logged; as would pino's own way of gathering lines,
  // which measures all that it has gathered with each of them.
  const lines = lineBatches((batch) => output.write(batch as never))
  const stream = format === 'json' ? lines : pretty(lines, colors)
  const flushNow = () => {
    try {
      lines.flush()
      output.flushSync()
    } catch {
      // Nothing was written yet, or nobody is there to read it.
    }
  }
  process.once('exit', flushNow)
  return {
    ...createLoggers(filter, stream),
    write(bytes) {
      if (format === 'json') return lines.write(bytes)
      const text = Buffer.from(bytes).toString()
      for (const line of text.trimEnd().split('\n')) stream.write(`${line}\n`)
    },
    flush() {
      lines.flush()
      return new Promise((resolve) => output.flush(() => resolve()))
    },
    flushNow,
  }
}

/** In this thread: a worker would lose the last lines of a crash. */
function pretty(output: DestinationStream, colors: boolean): DestinationStream {
  const format = prettyFactory({ colorize: colors, ignore: 'target', singleLine: true, translateTime: false })
  return { write: (line) => output.write(format(line) ?? '') }
}
