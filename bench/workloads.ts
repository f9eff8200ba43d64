/** What is measured: each workload is a number of uploads in a certain shape. */

export const workloadNames = ['big', 'parallel', 'small', 'chunks', 'head', 'head-complete', 'eights', 'many'] as const

/** Those that are run on files by default. */
export const fileWorkloads: readonly WorkloadName[] = ['big', 'parallel', 'small', 'chunks', 'head', 'head-complete']

/** Those that are run on object storage. */
export const storageWorkloads: readonly WorkloadName[] = ['big', 'eights', 'parallel', 'many']

export type WorkloadName = (typeof workloadNames)[number]

export interface Workload {
  readonly name: WorkloadName
  readonly title: string
  /** What the rate counts. */
  readonly unit: 'MiB/s' | 'uploads/s' | 'requests/s'
  /** What CPU seconds are given for. */
  readonly cpuPer: 'GiB' | '1000'
  readonly uploads: number
  /** Bytes of each upload. */
  readonly length: number
  /** Bytes of each upload that are sent; fewer than `length` leaves it incomplete. */
  readonly sent: number
  /** Bytes of one PATCH. */
  readonly patch: number
  /** Uploads, or HEAD requests, running at the same time, each on a connection of its own. */
  readonly connections: number
  /** HEAD requests, spread over the connections; 0 = the uploads themselves are measured. */
  readonly heads: number
  /** Whether the POST belongs to what is measured. */
  readonly timesCreation: boolean
}

export interface Sizes {
  /** Bytes of the big upload, and of the parallel ones together. */
  readonly big: number
  readonly smallUploads: number
  readonly chunks: number
  readonly heads: number
}

const kib = 1024
const mib = 1024 * kib

export const fullSizes: Sizes = { big: 1024 * mib, smallUploads: 3000, chunks: 512, heads: 40_000 }

/** Enough to see that everything works; the figures mean nothing. */
export const quickSizes: Sizes = { big: 4 * mib, smallUploads: 40, chunks: 8, heads: 64 }

export function workloads(sizes: Sizes): Record<WorkloadName, Workload> {
  const each = Math.ceil(sizes.big / 16)
  const head = {
    unit: 'requests/s',
    cpuPer: '1000',
    uploads: 32,
    length: 128 * kib,
    patch: 128 * kib,
    connections: 32,
    heads: sizes.heads,
    timesCreation: false,
  } as const
  return {
    big: {
      name: 'big',
      title: `one PATCH of ${bytes(sizes.big)}`,
      unit: 'MiB/s',
      cpuPer: 'GiB',
      uploads: 1,
      length: sizes.big,
      sent: sizes.big,
      patch: sizes.big,
      connections: 1,
      heads: 0,
      timesCreation: false,
    },
    parallel: {
      name: 'parallel',
      title: `16 uploads of ${bytes(each)} at the same time`,
      unit: 'MiB/s',
      cpuPer: 'GiB',
      uploads: 16,
      length: each,
      sent: each,
      patch: each,
      connections: 16,
      heads: 0,
      timesCreation: false,
    },
    eights: {
      name: 'eights',
      title: `${bytes(sizes.big)} in PATCHes of ${bytes(Math.ceil(sizes.big / 128))}, one after another`,
      unit: 'MiB/s',
      cpuPer: 'GiB',
      uploads: 1,
      length: sizes.big,
      sent: sizes.big,
      patch: Math.ceil(sizes.big / 128),
      connections: 1,
      heads: 0,
      timesCreation: false,
    },
    many: {
      name: 'many',
      title: `200 uploads of ${bytes(Math.ceil(sizes.big / 64))} at the same time`,
      unit: 'MiB/s',
      cpuPer: 'GiB',
      uploads: 200,
      length: Math.ceil(sizes.big / 64),
      sent: Math.ceil(sizes.big / 64),
      patch: Math.ceil(sizes.big / 64),
      connections: 200,
      heads: 0,
      timesCreation: false,
    },
    small: {
      name: 'small',
      title: `${sizes.smallUploads} uploads of 16 KiB (POST, then PATCH), 32 at a time`,
      unit: 'uploads/s',
      cpuPer: '1000',
      uploads: sizes.smallUploads,
      length: 16 * kib,
      sent: 16 * kib,
      patch: 16 * kib,
      connections: 32,
      heads: 0,
      timesCreation: true,
    },
    chunks: {
      name: 'chunks',
      title: `${sizes.chunks} PATCHes of 64 KiB, one after another`,
      unit: 'requests/s',
      cpuPer: '1000',
      uploads: 1,
      length: sizes.chunks * 64 * kib,
      sent: sizes.chunks * 64 * kib,
      patch: 64 * kib,
      connections: 1,
      heads: 0,
      timesCreation: false,
    },
    head: {
      ...head,
      name: 'head',
      title: `${sizes.heads} HEADs of 32 incomplete uploads, 32 at a time`,
      sent: 64 * kib,
    },
    'head-complete': {
      ...head,
      name: 'head-complete',
      title: `${sizes.heads} HEADs of 32 completed uploads, 32 at a time`,
      sent: 128 * kib,
    },
  }
}

/** The same in small, run before the measurement: servers are long-running, so they are measured warm. */
export function warmUp(workload: Workload): Workload {
  if (workload.heads > 0) return { ...workload, heads: Math.ceil(workload.heads / 4) }
  if (workload.name === 'many') return { ...workload, uploads: 16 }
  if (workload.name === 'eights') return { ...workload, length: 16 * workload.patch, sent: 16 * workload.patch }
  if (workload.uploads > 16) return { ...workload, uploads: Math.ceil(workload.uploads / 3) }
  if (workload.patch < workload.sent) return workload
  const length = Math.ceil(workload.length / 8)
  return { ...workload, length, sent: length, patch: length }
}

/** What the rate counts, of one whole run. */
export function amount(workload: Workload): number {
  if (workload.heads > 0) return workload.heads
  if (workload.unit === 'MiB/s') return (workload.uploads * workload.sent) / mib
  return workload.unit === 'uploads/s' ? workload.uploads : (workload.uploads * workload.sent) / workload.patch
}

function bytes(count: number): string {
  const [unit, name] = count >= 1024 * mib ? [1024 * mib, 'GiB'] : count >= mib ? [mib, 'MiB'] : [kib, 'KiB']
  return `${Number((count / unit).toFixed(1))} ${name}`
}
