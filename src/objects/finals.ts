import type { NewUpload } from '../store.ts'
import { type Engine, readRecord } from './engine.ts'
import { isWaiting } from './record.ts'

/*
 * Which final uploads wait for a partial one: `<info prefix>.finals/<partial>/<final>`, an object that holds the id of
 * the final. A marker is made before the record of its final and removed after that has been joined, so there may be
 * one too many after a crash, and never one too few.
 */

export async function addMarkers(engine: Engine, final: Pick<NewUpload, 'id' | 'concat'>): Promise<void> {
  const id = new TextEncoder().encode(final.id)
  await forEachMarker(engine, final, async (key) => void (await engine.calls.put(key, id, {})))
}

export async function removeMarkers(engine: Engine, final: Pick<NewUpload, 'id' | 'concat'>): Promise<void> {
  await forEachMarker(engine, final, (key) => engine.calls.delete(key))
}

/** Ids of final uploads that still wait for this partial one. */
export async function waitingFinals(engine: Engine, partialId: string): Promise<string[]> {
  const { bucket, calls, keys } = engine
  const prefix = await keys.markers(partialId)
  const found = await calls.repeat('list', 60_000, async (options) => {
    const listed: string[] = []
    for await (const { key } of bucket.list(prefix, options)) listed.push(key)
    return listed
  })
  const ids: string[] = []
  for (const key of found) {
    const marker = await calls.get(key, null)
    if (marker === null) continue
    const final = await readRecord(engine, new TextDecoder().decode(marker.bytes), false)
    if (
      final !== null &&
      isWaiting(final) &&
      final.concat?.type === 'final' &&
      final.concat.partials.includes(partialId)
    ) {
      ids.push(final.id)
    }
  }
  return ids
}

async function forEachMarker(
  { keys }: Engine,
  { id, concat }: Pick<NewUpload, 'id' | 'concat'>,
  work: (key: string) => Promise<void>,
): Promise<void> {
  if (concat?.type !== 'final') return
  await Promise.all([...new Set(concat.partials)].map(async (partial) => work(await keys.marker(partial, id))))
}
