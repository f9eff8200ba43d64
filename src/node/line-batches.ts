import type { DestinationStream } from 'pino'

/** Characters that are sent at once, and the milliseconds that a line may wait for others. */
const batchLength = 32768
const batchMs = 100

/** Gathers lines: sent one by one to another thread, they would cost more than what they tell of. */
export function lineBatches(send: (lines: string) => void): DestinationStream & { flush(): void } {
  let lines = ''
  let timer: NodeJS.Timeout | undefined
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    if (lines === '') return
    const batch = lines
    lines = ''
    send(batch)
  }
  return {
    write(line) {
      lines += line
      if (lines.length >= batchLength) flush()
      else timer ??= setTimeout(flush, batchMs).unref()
    },
    flush,
  }
}
