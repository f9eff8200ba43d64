import { StoreError } from '../../src/errors.ts'
import type { Multipart } from '../../src/objects/bucket.ts'
import { type SimulatedBucket, simulatedBucket, type SimulatedOptions } from './simulated-bucket.ts'

/**
 * As on Azure: parts are blocks that wait at the object's name, whatever has become of their multipart, and those of a
 * finished object can be named once more. Nothing but the record keeps two processes apart.
 */
export function blocksBucket(options: SimulatedOptions = {}): SimulatedBucket {
  const simulated = simulatedBucket({
    ...options,
    limits: { minPartBytes: 1, partsReplace: false, completesExactly: true, ...options.limits },
  })
  // Its blocks are not listed.
  delete simulated.parts
  const { objects, open } = simulated
  const committed = new Map<string, Map<string, Uint8Array>>()
  const staged = new Map<string, Map<string, Uint8Array>>()
  let blocks = 0
  const at = (places: typeof staged, key: string): Map<string, Uint8Array> => {
    const found = places.get(key) ?? new Map<string, Uint8Array>()
    places.set(key, found)
    return found
  }
  const drop = (key: string, multipartId: string): void => {
    for (const etag of at(staged, key).keys()) if (etag.startsWith(`${multipartId}-`)) at(staged, key).delete(etag)
  }
  const stage = ({ key, multipartId }: Multipart, bytes: Uint8Array): string => {
    const etag = `${multipartId}-${++blocks}`
    at(staged, key).set(etag, bytes.slice())
    return etag
  }

  return {
    ...simulated,
    async putPart(multipart, partNumber, bytes, callOptions) {
      // Counts the call, and throws what is to be thrown. Where the multipart is unknown, the block is taken all the same.
      await simulated.putPart(multipart, partNumber, bytes, callOptions)
      return stage(multipart, bytes)
    },
    ...(simulated.streamPart !== undefined && {
      async streamPart(multipart, partNumber, body, callOptions) {
        let sent = new Uint8Array(0)
        async function* pieces() {
          const all: Uint8Array[] = []
          for await (const piece of body.pieces()) {
            all.push(piece.slice())
            yield piece
          }
          sent = new Uint8Array(Buffer.concat(all))
        }
        await simulated.streamPart?.(multipart, partNumber, { ...body, pieces }, callOptions)
        return stage(multipart, sent)
      },
    }),
    async complete({ key, multipartId }, parts, headers, callOptions) {
      const all = { ...Object.fromEntries(at(committed, key)), ...Object.fromEntries(at(staged, key)) }
      const pieces = parts.map(({ etag }) => all[etag])
      if (pieces.includes(undefined))
        return Object.keys(all).some((etag) => etag.startsWith(multipartId)) ? 'invalid' : 'missing'
      const bytes = Buffer.concat(pieces as Uint8Array[])
      await simulated.complete({ key, multipartId: '' }, [], headers, callOptions)
      if ((await simulated.put(key, bytes, headers, callOptions)) === null) throw new StoreError('unavailable', 'no')
      open.delete(multipartId)
      committed.set(key, new Map(parts.map(({ etag }, n) => [etag, pieces[n] as Uint8Array])))
      staged.delete(key)
      return 'completed'
    },
    async abort(multipart, callOptions) {
      await simulated.abort(multipart, callOptions)
      if (!objects.has(multipart.key)) drop(multipart.key, multipart.multipartId)
    },
    async delete(key, callOptions) {
      await simulated.delete(key, callOptions)
      committed.delete(key)
    },
  }
}
