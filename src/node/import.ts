import { adopt } from '../files/foreign/adopt.ts'
import type { Locker } from '../locker.ts'
import type { Config } from './config.ts'

/**
 * Takes over what other servers have stored in a directory, and tells how it went.
 * @param write Takes a line of the result, `complain` one about an upload that stays as it was.
 * @returns whether all could be taken over.
 */
export async function importUploads(
  directory: string,
  locker: Locker,
  { basePath, expirationTtl, lockTimeout }: Config,
  dryRun: boolean,
  write: (line: string) => void,
  complain: (line: string) => void,
): Promise<boolean> {
  const expireAfterMs = expirationTtl === undefined ? null : expirationTtl * 1000
  const lock = async <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const held = await locker.acquire(id, { signal: AbortSignal.timeout(lockTimeout * 1000), onContention: () => {} })
    try {
      return await work()
    } finally {
      await held.release()
    }
  }
  const counts = new Map<string, number>()
  let failed = 0
  for await (const found of adopt(directory, { basePath, expireAfterMs, dryRun, lock })) {
    const { id, server, offset, length, completed, problem } = found
    if (problem !== null) {
      failed++
      complain(`${id}: ${problem}`)
      continue
    }
    const state = completed ? 'complete' : `${offset} of ${length ?? 'an unknown number of'} bytes`
    write(`${id}: ${server ?? ''}, ${state}`)
    counts.set(server ?? '', (counts.get(server ?? '') ?? 0) + 1)
  }
  const done = [...counts].map(([server, count]) => `${count} of ${server}`).join(', ')
  const verb = dryRun ? 'would import' : 'imported'
  write(`${verb} ${done === '' ? 'nothing' : done}${failed === 0 ? '' : `; ${failed} stay as they were`}`)
  return failed === 0
}
