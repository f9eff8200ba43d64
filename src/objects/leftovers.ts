import type { Leftover } from '../store.ts'
import { type Engine, readRecord } from './engine.ts'
import { isStorable } from './keys.ts'

/**
 * Multiparts that belong to no upload: begun by an append that a crash ended before its first record, or by a holder
 * that lost its lock. Young ones may be about to be recorded.
 */
export async function* leftoverMultiparts(engine: Engine, ageMs: number): AsyncGenerator<Leftover, void, undefined> {
  const { bucket, calls } = engine
  const begun = await calls.repeat('multiparts', 600_000, async (options) => {
    const found: { id: string; multipartId: string }[] = []
    for await (const { key, multipartId, createdAt } of bucket.multiparts('', options)) {
      if (Date.now() - createdAt >= ageMs && isStorable(key)) found.push({ id: key, multipartId })
    }
    return found
  })
  for (const { id, multipartId } of begun) {
    yield {
      id,
      async remove() {
        const upload = await readRecord(engine, id, false)
        if (upload?.multipartId === multipartId) return false
        await calls.abort({ key: id, multipartId })
        return true
      },
    }
  }
}
