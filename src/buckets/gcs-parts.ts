/**
 * Parts are objects of their own, `.parts/<key>/<multipartId>/<number>-<etag>`, each with a name that no other has:
 * whoever writes a part never replaces somebody else's.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Multipart } from '../objects/bucket.ts'

/** What the names of parts start with. */
export const partsFolder = '.parts/'

/** Most sources of one compose. */
const maxSources = 32

export interface Piece {
  readonly name: string
  readonly size: number
}

/** Composes these objects into one with this name, and returns its bytes. */
export type Compose = (name: string, sources: readonly string[]) => Promise<number>

/** Short, and unique among the parts of one number. */
export function newEtag(): string {
  return randomBytes(9).toString('base64url')
}

export function newMultipartId(): string {
  return randomBytes(15).toString('base64url')
}

export function folderOf({ key, multipartId }: Multipart): string {
  return `${partsFolder}${key}/${multipartId}/`
}

export function partName(multipart: Multipart, partNumber: number, etag: string): string {
  return `${folderOf(multipart)}${String(partNumber).padStart(5, '0')}-${etag}`
}

/** The multipart that an object with this name belongs to, or null. */
export function multipartOfName(name: string): Multipart | null {
  const match = /^\.parts\/(.+)\/([^/]+)\/[^/]+$/s.exec(name)
  const [, key, multipartId] = match ?? []
  return key === undefined || multipartId === undefined ? null : { key, multipartId }
}

/**
 * Joins neighbours until there are no more than one compose takes, with hardly more calls than there have to be.
 *
 * @returns Null when one came out with the wrong size.
 */
export async function gather(
  multipart: Multipart,
  parts: readonly Piece[],
  compose: Compose,
): Promise<readonly Piece[] | null> {
  let pieces = parts
  while (pieces.length > maxSources) {
    const { length } = pieces
    const groupCount = Math.min(Math.ceil(length / maxSources), Math.ceil((length - maxSources) / (maxSources - 1)))
    const groups = Array.from({ length: groupCount }, (_, n) => pieces.slice(n * maxSources, (n + 1) * maxSources))
    const rest = pieces.slice(groupCount * maxSources)
    let isRight = true
    const joined = await concurrently(groups, async (group) => {
      const [only] = group
      if (only !== undefined && group.length === 1) return only
      const names = group.map(({ name }) => name)
      const name = `${folderOf(multipart)}${joinedName(names)}`
      const size = sizeOf(group)
      if ((await compose(name, names)) !== size) isRight = false
      return { name, size }
    })
    if (!isRight) return null
    pieces = [...joined, ...rest]
  }
  return pieces
}

export function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { size }) => sum + size, 0)
}

/** Calls `work` for each, a few at a time; the results are in order. After a failure nothing more is begun. */
export async function concurrently<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const queue = items.entries()
  let failed = false
  const workers = Array.from({ length: Math.min(16, items.length) }, async () => {
    for (const [index, item] of queue) {
      if (failed) return
      try {
        results[index] = await work(item)
      } catch (error) {
        failed = true
        throw error
      }
    }
  })
  const outcomes = await Promise.allSettled(workers)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return results
}

/** Follows from the sources: made again, it takes its former place and holds the same bytes. */
function joinedName(names: readonly string[]): string {
  return `joined-${createHash('sha256').update(names.join('\n')).digest('base64url').slice(0, 22)}`
}
