/**
 * The servers that npm does not bring, storages and a peer whose uploads are taken over: where their source is and where
 * `npm run servers` puts them.
 */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface GoProgram {
  /** As people call it. */
  readonly title: string
  /** What `go install` builds, without version. */
  readonly path: string
  /** The module it is in, where its go.mod replaces others, which `go install` refuses: it is built from its source. */
  readonly replacingModule?: string
  /** Pinned: a server that changes by itself changes results by itself. */
  readonly version: string
  /** A folder of its source that is kept as well, as a tree of programs, and the module it is in. */
  readonly examples?: { readonly module: string; readonly folder: string }
}

export const goPrograms = {
  minio: {
    title: 'MinIO',
    path: 'github.com/minio/minio',
    version: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  },
  versitygw: {
    title: 'Versity S3 Gateway',
    path: 'github.com/versity/versitygw/cmd/versitygw',
    version: 'v1.8.0',
  },
  seaweedfs: {
    title: 'SeaweedFS',
    path: 'github.com/seaweedfs/seaweedfs/weed',
    version: 'v0.0.0-20261109003541-7506e5f91cd6',
    replacingModule: 'github.com/seaweedfs/seaweedfs',
  },
  'fake-gcs-server': {
    title: 'fake-gcs-server',
    path: 'github.com/fsouza/fake-gcs-server',
    version: 'v1.56.1',
  },
  tusd: {
    title: 'tusd',
    path: 'github.com/tus/tusd/v2/cmd/tusd',
    version: 'v2.9.1',
    examples: { module: 'github.com/tus/tusd/v2', folder: 'examples/hooks' },
  },
} as const satisfies Record<string, GoProgram>

export type GoProgramName = keyof typeof goPrograms

/**
 * The folder of the built programs: `TEST_SERVERS_DIR`, or one in the user's cache, so that a fresh clone and `npm ci`
 * find them there again.
 */
export function serversDirectory(): string {
  const { TEST_SERVERS_DIR, XDG_CACHE_HOME } = process.env
  if (TEST_SERVERS_DIR !== undefined && TEST_SERVERS_DIR !== '') return TEST_SERVERS_DIR
  const cache = XDG_CACHE_HOME === undefined || XDG_CACHE_HOME === '' ? join(homedir(), '.cache') : XDG_CACHE_HOME
  return join(cache, 'fileloft-servers')
}

/** Where the program of this very version is, or will be. */
export function programPath(name: GoProgramName): string {
  return join(serversDirectory(), `${name}@${goPrograms[name].version}`)
}

/**
 * The program, or null (after a line on how to get it) where it is not installed.
 * @throws Error in CI, where a server that is missing would be a suite that silently did not run.
 */
export function findProgram(name: GoProgramName): string | null {
  const path = programPath(name)
  return existsSync(path) ? path : missing(goPrograms[name].title, 'npm run servers')
}

/** Where the examples that come with its source are, or will be. */
export function examplesPath(name: GoProgramName): string {
  return `${programPath(name)}-examples`
}

/** The same for what is kept beside a program. @throws Error in CI */
export function findExamples(name: GoProgramName): string | null {
  const path = examplesPath(name)
  return existsSync(path) ? path : missing(`What ${goPrograms[name].title} has for examples`, 'npm run servers')
}

/** Null, after one line that says how to get what is missing. @throws Error in CI */
export function missing(title: string, remedy: string): null {
  const message = `${title} is not installed, so what needs it is skipped; get it by: ${remedy}`
  if (!['', '0', 'false'].includes(process.env['CI'] ?? '')) throw new Error(message)
  console.warn(message)
  return null
}
