import type { DestinationStream } from 'pino'
import { prettyFactory } from 'pino-pretty'
import type { Filter } from './filter.ts'
import { lineBatches } from './line-batches.ts'
import { openLogOutput } from './log-output.ts'
import { createLoggers, type Loggers } from './loggers.ts'

/** The log of the process. */
export interface Logs extends Loggers {
  /** Writes lines that another thread has logged, whole ones only. */
  write(lines: Uint8Array): void
  /**
   * Before the process ends: takes no more lines, and resolves with true once everything logged so far is written, or
   * cannot be.
   * @param patienceMs With false when for so long nobody has read anything.
   */
  end(patienceMs?: number): Promise<boolean>
}

export interface LogOptions {
  readonly filter: Filter
  readonly format: 'text' | 'json'
  /** Whether text may be coloured. */
  readonly colors: boolean
  /** File descriptor to write to. */
  readonly fd: number
}

/** Lines are written in the background: `end` before the process ends. */
export function createLogs({ filter, format, colors, fd }: LogOptions): Logs {
  const output = openLogOutput({
    fd,
    onLost(count) {
      loggers.server.warn({ lines: count }, 'lines of the log are lost: they could not be written')
      lines.flush()
    },
  })
  // Line by line, writing would cost more than the request that is logged.
  const lines = lineBatches((batch) => output.write(batch))
  const stream = format === 'json' ? lines : pretty(lines, colors)
  const loggers = createLoggers(filter, stream)
  process.once('exit', () => {
    output.flushNow(() => lines.flush())
  })
  return {
    ...loggers,
    write(bytes) {
      if (format === 'json') return lines.write(bytes)
      const text = Buffer.from(bytes).toString()
      for (const line of text.trimEnd().split('\n')) stream.write(`${line}\n`)
    },
    end(patienceMs) {
      lines.flush()
      output.end()
      return output.flush(patienceMs)
    },
  }
}

/** In this thread: a worker would lose the last lines of a crash. */
function pretty(output: DestinationStream, colors: boolean): DestinationStream {
  const format = prettyFactory({ colorize: colors, ignore: 'target', singleLine: true, translateTime: false })
  return { write: (line) => output.write(format(line) ?? '') }
}
