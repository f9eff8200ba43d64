/** The tus servers that are compared on object storage, each with its default settings. */
import { join } from 'node:path'
import { benchServers, type BenchServer, exists, nodeScript } from '../servers.ts'
import type { BenchStorage, StorageName } from './storage.ts'

export const storageServerIds = ['fileloft', 'tus-node', 'tusd'] as const

export type StorageServerId = (typeof storageServerIds)[number]

export interface StorageServer extends BenchServer {
  readonly id: StorageServerId
  /** Bytes of the largest PATCH that it can take; undefined = any. */
  readonly largestPatch: number | undefined
}

/** On Azure one PATCH is one block there. */
const oneBlock = 100 * 1024 * 1024

/** @param origin where the storage is reached @default directly; null when only names are asked for */
export function storageServers(name: StorageName, storage: BenchStorage | null, origin?: string): StorageServer[] {
  const reach = storage?.reach(origin ?? storage.endpoint)
  const others = new Map(benchServers().map((server) => [server.id, server]))
  const [ours, tusd] = [others.get('fileloft')!, others.get('tusd')!]
  return [
    {
      ...ours,
      id: 'fileloft',
      largestPatch: undefined,
      command:
        typeof ours.command === 'string'
          ? ours.command
          : {
              ...ours.command,
              takesPort: true,
              environment: ({ port }) => ({ FILELOFT_BIND: `127.0.0.1:${port}`, ...reach?.fileloft }),
            },
    },
    {
      id: 'tus-node',
      title: `@tus/${name}-store`,
      path: '/files',
      stores: true,
      largestPatch: name === 'azure' ? oneBlock : undefined,
      command: tusNodeCommand(name, reach?.tusNode ?? {}),
    },
    {
      ...tusd,
      id: 'tusd',
      largestPatch: name === 'azure' ? oneBlock : undefined,
      command:
        typeof tusd.command === 'string'
          ? tusd.command
          : {
              ...tusd.command,
              takesPort: true,
              args: ({ port }) => ['-host', '127.0.0.1', '-port', String(port), ...(reach?.tusd.args ?? [])],
              environment: () => ({ ...reach?.tusd.environment }),
            },
    },
  ]
}

function tusNodeCommand(name: StorageName, environment: Readonly<Record<string, string>>): BenchServer['command'] {
  const folder = join(import.meta.dirname, '../servers/gcs')
  if (name === 'gcs' && !exists(join(folder, 'node_modules/@tus/gcs-store'))) {
    return 'npm install --no-package-lock --prefix bench/servers/gcs'
  }
  const script = { s3: 'tus-s3.ts', azure: 'tus-azure.ts', gcs: 'gcs/tus-gcs.ts' }[name]
  return { ...nodeScript(script), environment: () => ({ ...environment }) }
}
