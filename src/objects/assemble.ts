import { StoreError } from '../errors.ts'
import { type Engine, lostMultipart, multipartOf, overtaken, readRecord, restOf } from './engine.ts'
import { type ObjectUpload, sizeOf } from './record.ts'
import { withoutSurplus } from './surplus.ts'

/**
 * Makes the finished object out of an upload's bytes, which are all there. Done again after a crash it finds the object
 * and leaves it.
 * @returns the upload as its record is now.
 * @throws StoreError `gone` when the parts were removed by somebody else; `corrupt` when the object is not the upload.
 */
export async function assemble(engine: Engine, upload: ObjectUpload): Promise<ObjectUpload> {
  if (upload.stored) return upload
  const { calls, keys } = engine
  const { parts, tail } = await restOf(engine, upload)
  const key = keys.data(upload.id)
  const headers = engine.headersOf(upload)
  if (parts.length === 0) {
    await putWhole(engine, upload, tail)
    return upload
  }
  if (upload.multipartId === null) throw new StoreError('corrupt', `${upload.id} has parts of no multipart`)
  const multipart = multipartOf(engine, upload, upload.multipartId)
  if (upload.surplus.length > 0) return assemble(engine, await withoutSurplus(engine, upload, multipart, parts))
  const all = [...parts]
  if (tail.byteLength > 0) {
    // The last part may be small.
    const number = upload.nextPart
    const etag = await calls.putPart(multipart, number, tail)
    if (etag === null) return recognise(engine, upload)
    all.push({ number, etag, size: tail.byteLength })
  }
  const named = all.map(({ number, ...part }) => ({ ...part, partNumber: number }))
  const outcome = await calls.complete(multipart, named, headers)
  if (outcome === 'invalid' && calls.parts !== null) {
    const moved = await withoutSurplus(engine, upload, multipart, all)
    return moved === upload ? recognise(engine, upload) : assemble(engine, moved)
  }
  if (outcome !== 'completed') return recognise(engine, upload)
  if (engine.limits.completesExactly && sizeOf({ parts, tail }) === upload.offset) return upload
  const object = await calls.head(key)
  if (object?.size !== upload.offset) {
    throw new StoreError('corrupt', `The object ${key} has ${object?.size ?? 'no'} bytes, its upload ${upload.offset}`)
  }
  return upload
}

/** Makes the finished object of bytes that no part has. What lies there already is replaced only where nobody else has gone on with the upload: a crash left it. */
export async function putWhole(engine: Engine, upload: ObjectUpload, bytes: Uint8Array): Promise<void> {
  const { calls, keys } = engine
  const key = keys.data(upload.id)
  const headers = engine.headersOf(upload)
  if ((await calls.put(key, bytes, { ...headers, ifNoneMatch: '*' })) !== null) return
  const object = await calls.head(key)
  const record = await readRecord(engine, upload.id, false)
  if (object === null || record?.version !== upload.version) throw overtaken(engine, upload.id)
  const version = await calls.put(key, bytes, { ...headers, ifMatch: object.version })
  if (version === null) throw overtaken(engine, upload.id)
}

/** The multipart is not there as recorded: fine if the object is, with all bytes. */
async function recognise(engine: Engine, upload: ObjectUpload): Promise<ObjectUpload> {
  const object = await engine.calls.head(engine.keys.data(upload.id))
  if (object?.size !== upload.offset) await lostMultipart(engine, upload)
  return upload
}
