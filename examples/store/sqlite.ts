/**
 * A whole store in one SQLite file, by Node's own `node:sqlite`: the worked example of docs/writing-a-store.md.
 * Each write is a transaction that is durable when it returns, so there is no `sync`. It stops the event loop for as
 * long as the disk takes, and what is deleted leaves its space to later uploads: for uploads of moderate size.
 */
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite'
import { StoreError, type Store, type Upload } from 'fileloft'

/** A record, with what this store keeps for itself: every write is conditional on the revision it is based on. */
export type SqliteUpload = Upload & { readonly revision: number }

/** @param path The file; made when it is missing. Any number of processes may share it, with a locker they share. */
export function sqliteStore(path: string): Store<SqliteUpload> & { close(): void } {
  const db = new DatabaseSync(path, { timeout: 5000 })
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, completed INTEGER, revision INTEGER, record TEXT);
    CREATE INDEX IF NOT EXISTS incomplete ON uploads (id) WHERE completed = 0;
    CREATE TABLE IF NOT EXISTS chunks (id TEXT, position INTEGER, bytes BLOB, PRIMARY KEY (id, position));`)

  /** Runs a statement and returns its rows. What goes wrong is an outage, never an empty answer. */
  function sql(text: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue>[] {
    try {
      return db.prepare(text).all(...values)
    } catch (error) {
      const isFull = error instanceof Error && 'errcode' in error && error.errcode === 13
      throw new StoreError(isFull ? 'full' : 'unavailable', `${path}: ${String(error)}`, { cause: error })
    }
  }
  const cutAt = (id: string, end: number) => sql('DELETE FROM chunks WHERE id = ? AND position >= ?', id, end)

  /** Does all of `work` or nothing of it. */
  function transaction(work: () => void): void {
    sql('BEGIN IMMEDIATE')
    try {
      work()
      sql('COMMIT')
    } catch (error) {
      if (db.isTransaction) sql('ROLLBACK')
      throw error
    }
  }

  /** Changes record and bytes together, unless somebody else has changed the upload since `before` was read. */
  function write(before: SqliteUpload, change: Partial<Upload>, changeBytes?: () => void): SqliteUpload {
    const after = { ...before, ...change, revision: before.revision + 1 }
    transaction(() => {
      const values = [after.revision, Number(after.completed), JSON.stringify(after), before.id, before.revision]
      const text =
        'UPDATE uploads SET revision = ?, completed = ?, record = ? WHERE id = ? AND revision = ? RETURNING id'
      if (sql(text, ...values).length === 0) throw new StoreError('lock_lost', `${before.id} has changed meanwhile`)
      changeBytes?.()
    })
    return after
  }

  return {
    async create(upload) {
      const record = { ...upload, offset: 0, completed: false, revision: 0 }
      const text = 'INSERT INTO uploads VALUES (?, 0, 0, ?) ON CONFLICT DO NOTHING RETURNING id'
      if (sql(text, upload.id, JSON.stringify(record)).length > 0) return record
      throw new StoreError('exists', `${upload.id} is taken`)
    },
    async get(id) {
      const [row] = sql('SELECT record FROM uploads WHERE id = ?', id)
      return row === undefined ? null : (JSON.parse(String(row['record'])) as SqliteUpload)
    },
    async append(upload, body, { atomic = false, guard, onProgress } = {}) {
      const { id, offset: start } = upload
      let now = upload
      let end = start
      let bodyThrew = false
      try {
        for await (const bytes of inPieces(body, () => (bodyThrew = true))) {
          await guard?.()
          // Bytes that await their checksum lie behind the offset: they do not count, and whoever comes next cuts them.
          now = write(now, { offset: atomic ? start : end + bytes.length }, () => {
            cutAt(id, end)
            sql('INSERT INTO chunks VALUES (?, ?, ?)', id, end, bytes)
          })
          end += bytes.length
          if (!atomic) onProgress?.(end)
        }
      } catch (error) {
        // Where the storage failed or the lock is lost, what was stored before stays.
        if (bodyThrew && end > start) {
          await guard?.()
          write(now, { offset: start }, () => cutAt(id, start))
        }
        throw error
      }
      if (!atomic || end === start) return now
      await guard?.()
      now = write(now, { offset: end })
      onProgress?.(end)
      return now
    },
    update: async (upload, change) => write(upload, change),
    async terminate({ id }) {
      transaction(() => {
        sql('DELETE FROM uploads WHERE id = ?', id)
        cutAt(id, 0)
      })
    },
    async *incomplete() {
      const text = 'SELECT id, record FROM uploads WHERE completed = 0 AND id > ? ORDER BY id LIMIT 1'
      for (let [row] = sql(text, ''); row !== undefined; [row] = sql(text, String(row['id']))) {
        yield JSON.parse(String(row['record'])) as SqliteUpload
      }
    },
    async *read({ id }, { start, end }) {
      const text = 'SELECT position, bytes FROM chunks WHERE id = ? AND position <= ? ORDER BY position DESC LIMIT 1'
      for (let at = start; at < end;) {
        const [row] = sql(text, id, at)
        const position = Number(row?.['position'])
        const piece = (row?.['bytes'] as Uint8Array | undefined)?.subarray(at - position, end - position)
        if (piece === undefined || piece.length === 0) throw new StoreError('corrupt', `${id} has no byte ${at}`)
        yield piece
        at += piece.length
      }
    },
    async concatenate(final, partials, { guard } = {}) {
      const length = partials.reduce((sum, { offset }) => sum + offset, 0)
      await guard?.()
      return write(final, { length, offset: length }, () => {
        cutAt(final.id, 0)
        let at = 0
        for (const { id, offset } of partials) {
          const text = 'INSERT INTO chunks SELECT ?, position + ?, bytes FROM chunks WHERE id = ? AND position < ?'
          sql(text, final.id, at, id, offset)
          at += offset
        }
      })
    },
    async finalsOf(partialId) {
      const partials = `json_each(record, '$.concat.partials')`
      return sql(
        `SELECT DISTINCT uploads.id FROM uploads, ${partials} WHERE completed = 0 AND value = ?`,
        partialId,
      ).map(({ id }) => String(id))
    },
    close: () => db.close(),
  }
}

/** The body in pieces of 1 MiB and a last one. `onThrow` tells that it was the body that threw, not who takes them. */
async function* inPieces(body: AsyncIterable<Uint8Array>, onThrow: () => void): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(1 << 20)
  let size = 0
  try {
    for await (const chunk of body) {
      for (let rest = chunk; rest.length > 0;) {
        const part = rest.subarray(0, piece.length - size)
        piece.set(part, size)
        size += part.length
        rest = rest.subarray(part.length)
        if (size < piece.length) continue
        yield piece
        size = 0
      }
    }
  } catch (error) {
    onThrow()
    throw error
  }
  if (size > 0) yield piece.subarray(0, size)
}
