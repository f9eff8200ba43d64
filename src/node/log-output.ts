import fs from 'node:fs'

/** Where the log of the process goes: a file, a terminal or a pipe, which may be slow, full or gone. */
export interface LogOutput {
  /** @param lines Whole ones; they must not change any more. */
  write(lines: Uint8Array): void
  /**
   * Resolves with true once nothing waits any more: all is written or lost.
   * @param patienceMs With false when for so long nothing could be written.
   */
  flush(patienceMs?: number): Promise<boolean>
  /** Takes no more lines: as long as some keep coming, a slow reader would keep the process from its end. */
  end(): void
  /**
   * Writes at once what waits, for a process that ends.
   * @param last Writes what has not come here yet.
   */
  flushNow(last?: () => void): void
}

export interface LogOutputOptions {
  /** File descriptor to write to. */
  readonly fd: number
  /** Told, once lines can be written again, how many could not be. What it writes at once is taken after the end, too. */
  readonly onLost: (count: number) => void
  /** Bytes that wait for a slow reader at most; 16 MiB unless given. What comes then is lost. */
  readonly mostBytes?: number
}

/**
 * Before what could not take anything is tried again; doubled each time until it takes something. A pipe has 64 KiB: a
 * long time each would let no more through than that, however fast its reader is.
 */
const firstBusyMs = 1
const busyMs = 50
/** For how long at most what waits is written at the end of the process. */
const lastMs = 1_000

/**
 * Writes in the background, in order, one write at a time. What cannot be written is lost, and said to be: pino's own
 * destination keeps it all in memory, and tries for ever at the end of the process.
 */
export function openLogOutput({ fd, onLost, mostBytes = 16 * 1024 * 1024 }: LogOutputOptions): LogOutput {
  const waiting: Uint8Array[] = []
  const waiters: (() => void)[] = []
  let size = 0
  let lost = 0
  let writes = 0
  let isWriting = false
  let pausing: NodeJS.Timeout | null = null
  let pauseMs = firstBusyMs
  /** Whether the first one that waits is written in part. */
  let isBegun = false
  /** Whether what was written last ends within a line. */
  let isLineOpen = false
  let isGone = false
  let isEnded = false
  /** How many are lost is told even then, and where there is no room. */
  let isTelling = false
  /** The process ends: what would be written in the background may never be. */
  let isHeld = false

  function next(): void {
    if (isHeld || isWriting || pausing !== null) return
    const lines = first()
    if (lines === undefined) {
      for (const done of waiters.splice(0)) done()
      return
    }
    isWriting = true
    fs.write(fd, lines, (error, count) => {
      isWriting = false
      if (error === null) written(lines, count)
      else if (isBusy(error)) return pause()
      else giveUp(error)
      next()
    })
  }

  function pause(): void {
    pausing = setTimeout(() => {
      pausing = null
      next()
    }, pauseMs)
    pauseMs = Math.min(pauseMs * 2, busyMs)
  }

  /** What is to be written next. After lines that broke off, on a line of its own. */
  function first(): Uint8Array | undefined {
    const [lines] = waiting
    if (lines === undefined || isBegun || !isLineOpen) return lines
    // Not kept so: what is tried again, or lost, would have one more each time.
    return Buffer.concat([lineEnd, lines])
  }

  function replaceFirst(lines: Uint8Array): void {
    size += lines.byteLength - (waiting[0]?.byteLength ?? 0)
    waiting[0] = lines
  }

  function removeFirst(): void {
    size -= waiting.shift()?.byteLength ?? 0
    isBegun = false
  }

  function written(lines: Uint8Array, count: number): void {
    writes++
    pauseMs = firstBusyMs
    if (count > 0) isLineOpen = lines[count - 1] !== lineEnd[0]
    isBegun = count < lines.byteLength
    if (isBegun) replaceFirst(lines.subarray(count))
    else removeFirst()
    // Not at once: what is told then, and lines with it, would find no room, and be lost in turn.
    if (size <= mostBytes / 2) tellLost()
  }

  function tellLost(): void {
    if (lost === 0) return
    const before = lost
    lost = 0
    isTelling = true
    onLost(before)
    isTelling = false
  }

  function giveUp({ code }: NodeJS.ErrnoException): void {
    // A reader that has gone (`fileloft | head`) does not come back.
    if (code === 'EPIPE') isGone = true
    do {
      lost += countLines(waiting[0])
      removeFirst()
    } while (isGone && waiting.length > 0)
  }

  return {
    write(lines) {
      if (isGone || (isEnded && !isTelling)) return
      if (!isTelling && size + lines.byteLength > mostBytes) lost += countLines(lines)
      else {
        size += lines.byteLength
        waiting.push(lines)
        next()
      }
    },
    flush(patienceMs) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      let before = writes
      const look = () => {
        if (writes === before) end(false)
        before = writes
      }
      const timer = patienceMs === undefined ? undefined : setInterval(look, patienceMs)
      const end = (isDone: boolean) => {
        clearInterval(timer)
        resolve(isDone)
      }
      waiters.push(() => end(true))
      next()
      return promise
    },
    end() {
      isEnded = true
    },
    flushNow(last) {
      isHeld = true
      last?.()
      tellLost()
      isHeld = false
      const until = performance.now() + lastMs
      if (!isWriting && !isBegun && isLineOpen) waiting.unshift(lineEnd)
      // What is being written goes on by itself.
      for (const lines of waiting.splice(isWriting ? 1 : 0)) if (!writeNow(fd, lines, until)) return
    },
  }
}

const lineEnd = Buffer.from('\n')

function isBusy({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EAGAIN' || code === 'EBUSY'
}

function countLines(lines: Uint8Array = lineEnd): number {
  return lines.reduce((count, byte) => (byte === lineEnd[0] ? count + 1 : count), 0)
}

function writeNow(fd: number, lines: Uint8Array, until: number): boolean {
  let rest = lines
  while (rest.byteLength > 0 && performance.now() < until) {
    try {
      rest = rest.subarray(fs.writeSync(fd, rest))
    } catch (error) {
      if (!isBusy(error as NodeJS.ErrnoException)) return false
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyMs)
    }
  }
  return rest.byteLength === 0
}
