/** What the suites want of a store of your own: see docs/writing-a-store.md. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqliteStore } from './sqlite.ts'

export const name = 'sqlite'

/** A fresh, empty store, and what removes all traces of it. The suites call it for each of their cases. */
export async function make() {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-store-'))
  const store = sqliteStore(join(folder, 'uploads.db'))
  const cleanup = async () => {
    store.close()
    await rm(folder, { recursive: true })
  }
  return { store, cleanup }
}
