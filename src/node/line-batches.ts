/** Bytes that are sent at once, and the milliseconds that a line may wait for others. */
const batchBytes = 32768
const batchMs = 100

/** Lines on their way to whoever writes them. */
export interface LineBatches {
  /** Whole lines, with their ends. */
  write(lines: string | Uint8Array): void
  flush(): void
}

/**
 * Gathers lines: sent one by one to another thread, they would cost more than what they tell of. They are gathered as
 * bytes: text that grows is kept in pieces, which the collector of new objects moves about until they are put together.
 * @param send Is given bytes of its own.
 */
export function lineBatches(send: (lines: Uint8Array<ArrayBuffer>) => void): LineBatches {
  const batch = Buffer.allocUnsafeSlow(2 * batchBytes)
  let used = 0
  let timer: NodeJS.Timeout | undefined
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    if (used === 0) return
    const bytes = Uint8Array.from(batch.subarray(0, used))
    used = 0
    send(bytes)
  }
  return {
    write(lines) {
      // No UTF-16 unit takes more bytes than three.
      const most = typeof lines === 'string' ? lines.length * 3 : lines.length
      if (most > batch.length - used) flush()
      if (most > batch.length) return send(Uint8Array.from(typeof lines === 'string' ? Buffer.from(lines) : lines))
      if (typeof lines === 'string') used += batch.write(lines, used)
      else {
        batch.set(lines, used)
        used += lines.length
      }
      if (used >= batchBytes) flush()
      else timer ??= setTimeout(flush, batchMs).unref()
    },
    flush,
  }
}
