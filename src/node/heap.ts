import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What a thread tells of its work, so that garbage is collected when it is due. */
export interface Heap {
  /** A request came. */
  readonly countRequest: () => void
  /** Bytes of a body came, in a buffer of their own. */
  readonly countBytes: (size: number) => void
  /** Some of them were freed already. */
  readonly countFreed: (size: number) => void
}

/**
 * Bytes of each half of the space for new objects. In the 1 MiB that it starts with, what 32 requests at a time need
 * hardly fits, and moves to where only a collection of everything frees it; with 2 MiB a small upload takes some percent
 * more of the processor's time than with 3, and with 4 no less. In the 16 MiB to which V8 would let it grow, many times
 * as much garbage lies about.
 */
const newSpaceBytes = 3 << 20

/**
 * Bytes of bodies between two collections of new objects. V8 does not count the buffers that bodies come in: those of
 * an upload at full speed would pile up to 32 MiB.
 */
const collectBytes = 4 << 20

/**
 * Percent by which the space for old objects may grow until V8 collects all of it; at least some MiB. What a request
 * needs is often still in use when new objects are collected twice, and is garbage among the old ones soon after: V8
 * would let some 25 MiB of it gather, in each thread.
 */
const oldGrowthPercent = 20

/** Requests between two looks at the space for new objects: V8 makes it smaller in a thread that has been idle. */
const lookRequests = 1000

/**
 * Takes the heap of this thread in hand. `--max-semi-space-size` would do for a part of it but is read before any code
 * runs. To be called in processes that are nothing but this server.
 */
export function tendHeap(): Heap {
  setFlagsFromString(`--heap-growing-percent=${oldGrowthPercent}`)
  const collect = collector()
  let bytes = 0
  let requests = 0
  growNewSpace()
  return {
    countRequest() {
      if (++requests < lookRequests) return
      requests = 0
      growNewSpace()
    },
    countBytes(size) {
      bytes += size
      if (bytes < collectBytes) return
      bytes = 0
      collect()
    },
    countFreed(size) {
      bytes = Math.max(0, bytes - size)
    },
  }
}

/** Frees new objects that nobody uses any more, in less than a millisecond. */
function collector(): () => void {
  // Flags are those of the process: switched off again, it would fail threads that are about to use it.
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('globalThis.gc') as typeof globalThis.gc
  return () => {
    gc?.({ type: 'minor', execution: 'sync' })
  }
}

/** It grows when much in it survives a collection: so that is what happens, some milliseconds long. */
function growNewSpace(): void {
  if (isGrown()) return
  let survivors: unknown[] = []
  // Some 32 MiB at most, should V8 have other ideas one day.
  for (let turn = 0; turn < 400 && !isGrown(); turn++) {
    // Each time: another thread may have set it to 1 meanwhile.
    setFlagsFromString('--semi-space-growth-factor=3')
    if (turn % 20 === 0) survivors = []
    for (let count = 0; count < 100; count++) survivors.push(Array.from({ length: 100 }))
  }
  setFlagsFromString('--semi-space-growth-factor=1')
}

function isGrown(): boolean {
  const space = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')
  // Both halves are in it.
  return space === undefined || space.space_size >= 2 * newSpaceBytes
}
