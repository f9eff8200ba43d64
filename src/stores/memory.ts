import { StoreError } from '../errors.ts'
import type { NewUpload, Store, Upload } from '../store.ts'

/**
 * Keeps uploads in this process's memory: for tests, demonstrations and short-lived files. Every extension works;
 * everything is gone when the process ends, and nothing limits the memory but the handler's `maxSize`.
 */
export function memoryStore(): Store {
  const entries = new Map<string, Entry>()
  const requireEntry = ({ id }: Pick<Upload, 'id'>): Entry => {
    const entry = entries.get(id)
    if (entry === undefined) throw new StoreError('corrupt', `upload ${id} is gone from memory`)
    return entry
  }
  const store: Store = {
    async create(upload) {
      if (entries.has(upload.id)) throw new StoreError('exists', `id ${upload.id} is taken`)
      const entry: Entry = { upload: { ...copy(upload), offset: 0, completed: false }, chunks: [] }
      entries.set(upload.id, entry)
      return { ...entry.upload }
    },
    async get(id) {
      const entry = entries.get(id)
      return entry === undefined ? null : { ...entry.upload }
    },
    async append(upload, body, { atomic = false, guard, onProgress } = {}) {
      const entry = requireEntry(upload)
      const chunks = [...entry.chunks]
      let { offset } = entry.upload
      for await (const chunk of body) {
        chunks.push(chunk)
        offset += chunk.byteLength
        if (!atomic) onProgress?.(offset)
      }
      // Nothing was touched before the body ended, so a body that throws leaves no trace.
      await guard?.()
      entry.chunks = chunks
      entry.upload = { ...entry.upload, offset }
      if (atomic) onProgress?.(offset)
      return { ...entry.upload }
    },
    async update(upload, change) {
      const entry = requireEntry(upload)
      entry.upload = { ...entry.upload, ...change }
      return { ...entry.upload }
    },
    async terminate(upload) {
      entries.delete(upload.id)
    },
    async *incomplete() {
      for (const { upload } of entries.values()) if (!upload.completed) yield { ...upload }
    },
    async *read(upload, { start, end }) {
      let position = 0
      for (const chunk of requireEntry(upload).chunks) {
        const piece = chunk.subarray(Math.max(start - position, 0), Math.max(end - position, 0))
        if (piece.byteLength > 0) yield piece
        position += chunk.byteLength
      }
    },
    async concatenate(final, partials) {
      const entry = requireEntry(final)
      entry.chunks = partials.flatMap((partial) => requireEntry(partial).chunks)
      const length = partials.reduce((sum, partial) => sum + partial.offset, 0)
      entry.upload = { ...entry.upload, length, offset: length }
      return { ...entry.upload }
    },
    async finalsOf(partialId) {
      return [...entries.values()].flatMap(({ upload: { id, concat, completed } }) =>
        !completed && concat?.type === 'final' && concat.partials.includes(partialId) ? [id] : [],
      )
    },
  }
  return store
}

interface Entry {
  upload: Upload
  chunks: readonly Uint8Array[]
}

function copy({ id, length, metadata, concat, createdAt, expiresAt }: NewUpload): NewUpload {
  return { id, length, metadata, concat, createdAt, expiresAt }
}
