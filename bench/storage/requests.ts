/** How many requests a tus server sends to the storage, by kind: what the storage bills, and what its latency multiplies. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { startStorageProxy } from '../../test/support/storage-proxy.ts'
import { createUpload, headUpload, patchUpload } from '../client.ts'
import { openConnection } from '../connection.ts'
import { phaseOf } from '../pattern.ts'
import { startServer } from '../process.ts'
import { align } from '../report.ts'
import { storageServers, type StorageServerId } from './servers.ts'
import { startStorage } from './start.ts'
import type { StorageName } from './storage.ts'
import { verifyObjects } from './verify.ts'

/** One upload, from its POST to the answer of its last PATCH, or a HEAD in the middle of it. */
export interface RequestCase {
  readonly title: string
  readonly length: number
  readonly sent: number
  readonly patch: number
  /** Whether only the HEAD after what was sent is counted. */
  readonly countsHead: boolean
}

export type Counts = Readonly<Record<string, number>>

const mib = 1024 * 1024

export function requestCases(isQuick: boolean): readonly RequestCase[] {
  const upload = (patches: number, patch: number): RequestCase => {
    const length = patches * patch
    const title = `an upload of ${length / mib} MiB in ${patches} PATCH(es), its POST included`
    return { title, length, sent: length, patch, countsHead: false }
  }
  const head = {
    title: 'a HEAD of an upload that has 20 of 64 MiB',
    length: 64 * mib,
    sent: 20 * mib,
    patch: 10 * mib,
    countsHead: true,
  }
  return isQuick ? [upload(3, 8 * mib), head] : [upload(1, 1024 * mib), upload(128, 8 * mib), upload(1000, mib), head]
}

/** @throws Error when the server or the storage answers wrongly, or the object is not what was sent. */
export async function countRequests(
  name: StorageName,
  id: StorageServerId,
  wanted: RequestCase,
  scratch: string,
): Promise<Counts> {
  const storage = await startStorage(name)
  if (storage === null) throw new Error(`the server for ${name} is gone`)
  const proxy = await startStorageProxy(storage.endpoint, { dialect: storage.dialect })
  const directory = await mkdtemp(join(scratch, `${id}-`))
  try {
    const server = storageServers(name, storage, proxy.origin).find((one) => one.id === id)
    if (server === undefined || typeof server.command === 'string') throw new Error(`${id} is not here`)
    await mkdir(join(directory, 'data'))
    const place = { directory: join(directory, 'data'), log: join(directory, 'log'), nodeOptions: [] }
    const running = await startServer(server.command, place)
    const connection = openConnection(running.port)
    try {
      // What the start asked for is not the upload's.
      proxy.reset()
      const upload = await createUpload(connection, { path: server.path, length: wanted.length, phase: phaseOf(1) })
      await patchUpload(connection, upload, wanted)
      if (wanted.countsHead) {
        proxy.reset()
        await headUpload(connection, upload, wanted.sent)
        return { ...proxy.counts }
      }
      const counts = { ...proxy.counts }
      await verifyObjects(storage, [{ id: upload.id, phase: upload.phase, sent: wanted.sent }])
      return counts
    } finally {
      connection.close()
      await running.stop()
    }
  } finally {
    await proxy.close()
    await storage.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

export interface RequestRow {
  readonly server: string
  /** A line where they could not be counted. */
  readonly counts: Counts | string
}

export function requestTable({ title }: RequestCase, rows: readonly RequestRow[]): string {
  const cells = rows.map(({ server, counts }) => {
    if (typeof counts === 'string') return [server, '-', counts]
    const kinds = Object.entries(counts).sort(([, a], [, b]) => b - a)
    const sum = kinds.reduce((total, [, count]) => total + count, 0)
    return [server, String(sum), kinds.map(([kind, count]) => `${count} ${kind}`).join(', ')]
  })
  return `requests: ${title}\n${align([['', 'all', 'by kind'], ...cells])}`
}
