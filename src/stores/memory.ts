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
      const entry: Entry = { upload: { ...copy(upload), offset: 0, completed: false }, blocks: [] }
      entries.set(upload.id, entry)
      return { ...entry.upload }
    },
    async get(id) {
      const entry = entries.get(id)
      return entry === undefined ? null : { ...entry.upload }
    },
    async append(upload, body, { atomic = false, guard, onProgress } = {}) {
      const entry = requireEntry(upload)
      const blocks = [...entry.blocks]
      let { offset } = entry.upload
      const fill = filler(blocks, offset, entry.upload.length)
      for await (const chunk of body) {
        offset = fill(chunk)
        if (!atomic) onProgress?.(offset)
      }
      // Nothing was touched before the body ended, so a body that throws leaves no trace.
      await guard?.()
      entry.blocks = blocks
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
      for (const block of requireEntry(upload).blocks) {
        const piece = block.subarray(Math.max(start - position, 0), Math.max(end - position, 0))
        if (piece.byteLength > 0) yield piece
        position += block.byteLength
      }
    },
    async concatenate(final, partials) {
      const entry = requireEntry(final)
      entry.blocks = partials.flatMap((partial) => filled(requireEntry(partial)))
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
  /** All full but the last, of which what is above the offset is still free. */
  blocks: readonly Uint8Array[]
}

const minBlockBytes = 1024
const maxBlockBytes = 1 << 20

/**
 * Copies chunks behind the bytes before `offset`; tells the new offset. Chunks are not kept: one may be a byte that
 * comes with a buffer of 64 KiB. Blocks grow with the upload, so that at most half of the memory is free space.
 */
function filler(blocks: Uint8Array[], offset: number, length: number | null): (chunk: Uint8Array) => number {
  let position = offset
  let room = freeBytes(blocks, offset)
  return (chunk) => {
    for (let rest = chunk; rest.byteLength > 0;) {
      if (room === 0) {
        const wanted = Math.min(Math.max(position, rest.byteLength, minBlockBytes), maxBlockBytes)
        room = Math.min(wanted, Math.max((length ?? Infinity) - position, rest.byteLength))
        blocks.push(new Uint8Array(room))
      }
      const part = rest.subarray(0, room)
      const block = blocks.at(-1)
      block?.set(part, block.byteLength - room)
      room -= part.byteLength
      position += part.byteLength
      rest = rest.subarray(part.byteLength)
    }
    return position
  }
}

function freeBytes(blocks: readonly Uint8Array[], offset: number): number {
  return blocks.reduce((sum, { byteLength }) => sum + byteLength, -offset)
}

function filled({ blocks, upload }: Entry): Uint8Array[] {
  const free = freeBytes(blocks, upload.offset)
  return blocks.map((block, n) => (n === blocks.length - 1 ? block.subarray(0, block.byteLength - free) : block))
}

function copy({ id, length, metadata, concat, attributes, createdAt, expiresAt }: NewUpload): NewUpload {
  return { id, length, metadata, concat, attributes, createdAt, expiresAt }
}
