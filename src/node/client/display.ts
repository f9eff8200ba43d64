import { Presets, SingleBar } from 'cli-progress'
import { createMeter, formatDuration, formatShare, formatSize } from './units.ts'

/** Shows how one file gets on. */
export interface Display {
  /** So many bytes are there by now, of as many in the end; null while nobody knows. */
  progress(bytes: number, total: number | null): void
  /** A line about the file, above the bar. */
  note(text: string): void
  /** Ends it with a line. */
  end(text: string): void
}

/** A bar on a terminal; elsewhere the lines only, so that a log stays readable. */
export function createDisplay(path: string, stream: NodeJS.WriteStream): Display {
  // A terminal may take what is in a name for commands.
  const name = path.replace(/\p{Cc}/gu, '?')
  const write = (text: string) => void stream.write(`${name}: ${text}\n`)
  if (!stream.isTTY) return { progress: () => {}, note: write, end: write }

  const meter = createMeter()
  let latest: { bytes: number; total: number | null } = { bytes: 0, total: null }
  let bar: SingleBar | null = null
  let timer: ReturnType<typeof setInterval> | undefined
  const show = () => {
    const { bytes, total } = latest
    bar?.setTotal(total ?? 0)
    bar?.update(bytes, fieldsOf(bytes, total, meter.rate()))
  }
  const stop = () => {
    clearInterval(timer)
    bar?.stop()
    bar = null
  }
  return {
    progress(bytes, total) {
      meter.add(bytes)
      latest = { bytes, total }
      if (bar !== null) return
      bar = createBar(name, stream, total !== null)
      bar.start(total ?? 0, bytes, fieldsOf(bytes, total, 0))
      timer = setInterval(show, 250).unref()
    },
    note(text) {
      stop()
      write(text)
    },
    end(text) {
      stop()
      write(text)
    },
  }
}

function createBar(name: string, stream: NodeJS.WriteStream, isTotalKnown: boolean): SingleBar {
  // What stands beside the bar takes about this much.
  const size = Math.min(
    40,
    (stream.columns || 80) - 2 - name.length - ' 100 %  1023 MiB  1023 MiB/s  1:00:00 left'.length,
  )
  const isBarShown = isTotalKnown && size >= 8
  return new SingleBar(
    {
      format: `${name} ${isBarShown ? '{bar} ' : ''}{state}`,
      stream,
      barsize: size,
      hideCursor: true,
      clearOnComplete: true,
      // Signals are for whoever runs the upload.
      gracefulExit: false,
      fps: 4,
    },
    Presets.shades_classic,
  )
}

function fieldsOf(bytes: number, total: number | null, rate: number): { state: string } {
  const speed = rate > 0 ? `${formatSize(rate)}/s` : ''
  if (total === null) return { state: [formatSize(bytes), speed].join('  ') }
  const left = rate > 0 ? `${formatDuration((total - bytes) / rate)} left` : ''
  return { state: [formatShare(bytes, total), formatSize(total), speed, left].join('  ').trimEnd() }
}
