const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `1.5 MiB`: three digits say enough. */
export function formatSize(bytes: number): string {
  const power = Math.min(Math.max(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), 0), names.length - 1)
  const value = bytes / 1024 ** power
  return `${power === 0 ? Math.round(value) : value.toFixed(value < 10 ? 1 : 0)} ${names[power] ?? ''}`
}

/** `0:09`, `12:05`, `1:00:00`. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  const two = (value: number) => String(value).padStart(2, '0')
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

/** `43 %`, never 100 before the end. */
export function formatShare(part: number, whole: number): string {
  return `${whole === 0 ? 100 : Math.floor((part / whole) * 100)} %`
}

export interface Meter {
  /** Takes note that so many bytes have been sent by now. */
  add(bytes: number): void
  /** Bytes per second lately. */
  rate(): number
}

/** Measures over the last few seconds, up to now: what stands still slows down. */
export function createMeter(now: () => number = () => performance.now(), windowMs = 5000): Meter {
  let samples: { at: number; bytes: number }[] = []
  return {
    add(bytes) {
      // After a failure it goes on from what the server has.
      if (bytes < (samples.at(-1)?.bytes ?? 0)) samples = []
      samples.push({ at: now(), bytes })
      while (samples.length > 2 && now() - (samples[1]?.at ?? 0) > windowMs) samples.shift()
    },
    rate() {
      const [first, last] = [samples[0], samples.at(-1)]
      if (first === undefined || last === undefined || first === last) return 0
      return ((last.bytes - first.bytes) / Math.max(now() - first.at, 1)) * 1000
    },
  }
}
