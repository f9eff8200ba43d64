import type { ConcatenateOptions } from '../store.ts'
import { type Holder, lend } from './buffers.ts'
import { commit, type Engine } from './engine.ts'
import { joinPieces, readPieces } from './join.ts'
import { nothing, type ObjectUpload } from './record.ts'

/**
 * Joins the objects of complete partial uploads. The record changes when the object is there, so that it can be done
 * again.
 */
export async function concatenateObjects(
  engine: Engine,
  final: ObjectUpload,
  partials: readonly ObjectUpload[],
  { guard }: ConcatenateOptions,
): Promise<ObjectUpload> {
  const { calls, keys, limits } = engine
  const key = keys.data(final.id)
  const length = partials.reduce((sum, partial) => sum + partial.offset, 0)
  const pieces = partials.flatMap(({ id, offset }) =>
    offset === 0 ? [] : [{ key: keys.data(id), start: 0, end: offset }],
  )
  const headers = engine.headersOf({ ...final, length })
  await guard?.()
  if (length <= Math.min(limits.minPartBytes, limits.maxPutBytes) || length === 0) {
    const holder: Holder = { held: 0, since: 0, release: () => {} }
    const buffer = await engine.buffers.take(length, holder)
    await lend(engine.buffers, buffer, holder, async () => {
      await readPieces(engine, buffer, pieces)
      await calls.put(key, buffer, headers)
    })
  } else await joinPieces(engine, key, headers, pieces, length, guard)
  await guard?.()
  return commit(engine, final, { length, offset: length, stored: true }, nothing)
}
