/** Every store that the suites run on: one row each. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileStore } from '../src/stores/fs.ts'
import { objectStore } from '../src/objects/store.ts'
import { memoryStore } from '../src/stores/memory.ts'
import { simulatedBucket } from './objects/simulated-bucket.ts'
import type { StoreRow } from './suite-context.ts'

export const stores: readonly StoreRow[] = [
  { name: 'memory', make: () => Promise.resolve({ store: memoryStore(), cleanup: () => Promise.resolve() }) },
  {
    name: 'objects',
    make: () => Promise.resolve({ store: objectStore(simulatedBucket()), cleanup: () => Promise.resolve() }),
  },
  {
    name: 'fs',
    async make() {
      const directory = await mkdtemp(join(tmpdir(), 'fileloft-suite-'))
      return { store: fileStore({ directory }), cleanup: () => rm(directory, { recursive: true, force: true }) }
    },
  },
]
